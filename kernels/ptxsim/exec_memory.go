package ptxsim

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"vith/kernels/ptx"
)

func buildLoad(d *loader, i *inst, op *ptx.Op) error {
	t := op.Types[0]
	if op.Space == ptx.SpaceParam {
		if p := d.src.Params[i.param]; p.Type.Bits() != t.Bits() {
			return fmt.Errorf("loads %d bits of parameter %s, which has %d", t.Bits(), p.Name, p.Type.Bits())
		}
		i.width = t.Bits() / 8
		i.run = runLoadParam
		return nil
	}
	d.access(i, op.Space, t.Bits()/8*op.Vec)
	element := t.Bits() / 8
	signed := t == ptx.TypeS8
	fill := func(w *warp, l int, p []byte) {
		for n, r := range i.dst {
			w.reg[r][l] = getElement(p[n*element:], element, signed)
		}
	}
	if op.Space == ptx.SpaceShared {
		i.run = func(w *warp, i *inst, active uint32) { runLoadShared(w, i, active, fill) }
		return nil
	}
	how := toLoad
	if op.Mods.Has(ptx.ModNC) {
		how = toLoadNC
	}
	i.run = func(w *warp, i *inst, active uint32) { runLoadGlobal(w, i, active, how, fill) }
	return nil
}

func buildStore(d *loader, i *inst, op *ptx.Op) error {
	t := op.Types[0]
	element := t.Bits() / 8
	d.access(i, op.Space, element*op.Vec)
	i.run = func(w *warp, i *inst, active uint32) { runStore(w, i, active, op.Space, element) }
	return nil
}

// access notes that the kernel's accesses to a space may be as narrow as width bytes.
func (d *loader) access(i *inst, space ptx.Space, width int) {
	i.width = width
	if space == ptx.SpaceShared {
		d.sharedGranule = min(d.sharedGranule, width)
	} else {
		d.globalGranule = min(d.globalGranule, width)
	}
}

func runLoadParam(w *warp, i *inst, active uint32) {
	x := w.Params[i.param]
	if i.width == 4 {
		x = uint64(uint32(x)) // the rest of the slot means nothing
	}
	w.broadcast(i.dst[0], active, x)
}

func runLoadGlobal(w *warp, i *inst, active uint32, how access, fill func(w *warp, l int, p []byte)) {
	base, offset := &w.reg[i.addr[0].reg], i.addr[0].offset
	w.stats.countSectors(base, offset, i.width, active)
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m)
		fill(w, l, w.global(l, base[l]+offset, i.width, i.width, how))
	}
}

func runLoadShared(w *warp, i *inst, active uint32, fill func(w *warp, l int, p []byte)) {
	base, offset := &w.reg[i.addr[0].reg], i.addr[0].offset
	w.stats.countBanks(base, offset, i.width, active)
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m)
		fill(w, l, w.readShared(l, base[l]+offset, i.width))
	}
}

func runStore(w *warp, i *inst, active uint32, space ptx.Space, element int) {
	base, offset := &w.reg[i.addr[0].reg], i.addr[0].offset
	source := i.args[1:] // behind the address
	if space == ptx.SpaceShared {
		w.stats.countBanks(base, offset, i.width, active)
	} else {
		w.stats.countSectors(base, offset, i.width, active)
	}
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m)
		agree := func(other int) bool {
			if active>>other&1 == 0 || base[other] != base[l] {
				return false
			}
			for _, r := range source {
				if w.reg[r][other] != w.reg[r][l] {
					return false
				}
			}
			return true
		}
		var p []byte
		if space == ptx.SpaceShared {
			p = w.writeShared(l, base[l]+offset, i.width, agree)
		} else {
			p = w.global(l, base[l]+offset, i.width, i.width, toStore)
		}
		for n, r := range source {
			putElement(p[n*element:], element, w.reg[r][l])
		}
	}
}

// getElement reads an element of 1, 2, 4 or 8 bytes into a register of 32 bits, or of 16 or 64 for those sizes.
func getElement(p []byte, size int, signed bool) uint64 {
	switch size {
	case 1:
		if signed {
			return uint64(uint32(int8(p[0])))
		}
		return uint64(p[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(p))
	case 4:
		return uint64(binary.LittleEndian.Uint32(p))
	}
	return binary.LittleEndian.Uint64(p)
}

func putElement(p []byte, size int, x uint64) {
	switch size {
	case 1:
		p[0] = byte(x)
	case 2:
		binary.LittleEndian.PutUint16(p, uint16(x))
	case 4:
		binary.LittleEndian.PutUint32(p, uint32(x))
	default:
		binary.LittleEndian.PutUint64(p, x)
	}
}

// updates are the operations of atom and red.
var updates = map[string]func(old, x uint32) uint32{
	"add.u32": func(old, x uint32) uint32 { return old + x },
	"add.f32": func(old, x uint32) uint32 {
		return uint32(fbits(math.Float32frombits(old) + math.Float32frombits(x)))
	},
	"max.u32": func(old, x uint32) uint32 { return max(old, x) },
	"max.s32": func(old, x uint32) uint32 { return uint32(max(int32(old), int32(x))) },
}

func buildAtomic(d *loader, i *inst, op *ptx.Op) error {
	name := op.Name[len(op.Mnemonic+".global."):] // .shared is as long
	update, ok := updates[name]
	if !ok {
		return errUnknown
	}
	d.access(i, op.Space, 4)
	if op.Space == ptx.SpaceShared {
		d.sharedAtomics = true
	} else {
		d.globalAtomics = true
	}
	i.run = func(w *warp, i *inst, active uint32) { runAtomic(w, i, active, op.Space, update) }
	return nil
}

// runAtomic updates memory lane by lane, in an order that depends on the seed.
func runAtomic(w *warp, i *inst, active uint32, space ptx.Space, update func(old, x uint32) uint32) {
	base, offset := &w.reg[i.addr[0].reg], i.addr[0].offset
	source := &w.reg[i.args[1]]
	if space == ptx.SpaceShared {
		w.stats.countBanks(base, offset, 4, active)
	} else {
		w.stats.countSectors(base, offset, 4, active)
	}
	turn := w.random.IntN(32)
	for n := range 32 {
		l := n ^ turn
		if active>>l&1 == 0 {
			continue
		}
		var p []byte
		if space == ptx.SpaceShared {
			p = w.updateShared(l, base[l]+offset)
		} else {
			p = w.global(l, base[l]+offset, 4, 4, toUpdate)
		}
		old := binary.LittleEndian.Uint32(p)
		binary.LittleEndian.PutUint32(p, update(old, uint32(source[l])))
		if len(i.dst) > 0 {
			w.reg[i.dst[0]][l] = uint64(old)
		}
	}
}
