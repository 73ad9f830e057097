package preprocess

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"vith/vit/preprocess/resample"
)

// upright returns pixels turned as an EXIF orientation asks, by the definition of
// the tag: where row 0 and column 0 of the stored image are to be seen.
func upright(p *Pixels, orientation int) (pix []byte, width, height int) {
	width, height = p.Width, p.Height
	if orientation >= 5 {
		width, height = height, width
	}
	for y := range height {
		for x := range width {
			sx, sy := x, y
			switch orientation {
			case 2: // row 0 at the top, column 0 at the right
				sx = width - 1 - x
			case 3: // bottom, right
				sx, sy = width-1-x, height-1-y
			case 4: // bottom, left
				sy = height - 1 - y
			case 5: // left, top
				sx, sy = y, x
			case 6: // right, top
				sx, sy = y, width-1-x
			case 7: // right, bottom
				sx, sy = height-1-y, width-1-x
			case 8: // left, bottom
				sx, sy = height-1-y, x
			}
			pix = append(pix, p.Pix[3*(sy*p.Width+sx):][:3]...)
		}
	}
	return pix, width, height
}

func TestOrientations(t *testing.T) {
	data := read(t, "photos/chelsea_360x240_exif6.jpg")
	marker := []byte{0x01, 0x12, 0x00, 0x03, 0x00, 0x00, 0x00, 0x01, 0x00, 6} // tag, SHORT, one, 6
	at := bytes.Index(data, marker)
	if at < 0 {
		t.Fatal("the photo has no big-endian orientation tag")
	}
	for orientation := 0; orientation <= 9; orientation++ {
		data[at+len(marker)-1] = byte(orientation)
		p := mustDecode(t, data)
		want := orientation
		if want < 1 || want > 8 {
			want = 1
		}
		if p.Orientation != want {
			t.Errorf("tag %d: orientation %d, want %d", orientation, p.Orientation, want)
		}
		for _, round := range []bool{false, true} {
			pix, width, height := upright(p, want)
			turned := make([]byte, 224*224*3)
			resampleWhole(turned, pix, width, height, resample.Options{Size: 224, RoundCrop: round})
			if !bytes.Equal(crop(t, data, Options{RoundCrop: round}), turned) {
				t.Errorf("tag %d, round %t: the crop is not that of the turned image", orientation, round)
			}
			stored := make([]byte, 224*224*3)
			resampleWhole(stored, p.Pix, p.Width, p.Height, resample.Options{Size: 224, RoundCrop: round})
			if !bytes.Equal(crop(t, data, Options{RoundCrop: round, IgnoreEXIF: true}), stored) {
				t.Errorf("tag %d, round %t: ignored, it changes the crop", orientation, round)
			}
		}
	}
}

// tiff returns a TIFF structure with one directory of entries.
func tiff(order binary.AppendByteOrder, magic string, entries ...[]byte) []byte {
	p := order.AppendUint32([]byte(magic), 8)
	p = order.AppendUint16(p, uint16(len(entries)))
	for _, e := range entries {
		p = append(p, e...)
	}
	return order.AppendUint32(p, 0)
}

// tiffEntry returns a directory entry whose value fits in it.
func tiffEntry(order binary.AppendByteOrder, tag, kind uint16, count uint32, value []byte) []byte {
	p := order.AppendUint16(nil, tag)
	p = order.AppendUint16(p, kind)
	p = order.AppendUint32(p, count)
	return append(p, append(value, 0, 0, 0, 0)[:4]...)
}

func TestOrientationOfMetadata(t *testing.T) {
	little, big := binary.LittleEndian, binary.BigEndian
	maker := tiffEntry(little, 0x010f, 2, 4, []byte("vith"))
	short := tiffEntry(little, tagOrientation, 3, 1, []byte{8, 0})
	f := func(name string, exif, xmp []byte, want int) {
		t.Helper()
		if got := orientation(exif, xmp); got != want {
			t.Errorf("%s: orientation %d, want %d", name, got, want)
		}
	}
	f("nothing", nil, nil, 1)
	f("little-endian SHORT", tiff(little, "II*\x00", maker, short), nil, 8)
	f("with JPEG's heading", append([]byte("Exif\x00\x00"), tiff(little, "II*\x00", short)...), nil, 8)
	f("big-endian SHORT", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 3, 1, []byte{0, 5})), nil, 5)
	f("big-endian LONG", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 4, 1, []byte{0, 0, 0, 7})), nil, 7)
	f("big-endian SLONG", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 9, 1, []byte{0, 0, 0, 6})), nil, 6)
	f("negative SLONG", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 9, 1, []byte{0xff, 0xff, 0xff, 0xfa})), nil, 1)
	f("little-endian SSHORT", tiff(little, "II*\x00", tiffEntry(little, tagOrientation, 8, 1, []byte{3, 0})), nil, 3)
	f("SBYTE", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 6, 1, []byte{4})), nil, 4)
	f("IFD", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 13, 1, []byte{0, 0, 0, 2})), nil, 2)
	f("two SHORTs", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 3, 2, []byte{0, 5, 0, 6})), nil, 5)
	f("SHORTs elsewhere", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 3, 3, []byte{0, 5, 0, 6})), nil, 1)
	f("bytes are not numbers", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 1, 1, []byte{6})), nil, 1)
	f("out of range", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 3, 1, []byte{0, 9})), nil, 1)
	f("huge", tiff(big, "MM\x00*", tiffEntry(big, tagOrientation, 4, 1, []byte{0xff, 0, 0, 6})), nil, 1)
	f("bad magic", tiff(big, "MM*\x00", tiffEntry(big, tagOrientation, 3, 1, []byte{0, 5})), nil, 1)
	f("directory outside", []byte("II*\x00\xff\xff\xff\xff"), nil, 1)

	whole := tiff(little, "II*\x00", maker, short)
	for n := range whole {
		if got := orientation(whole[:n], nil); got != 1 && got != 8 {
			t.Errorf("%d of %d bytes: orientation %d", n, len(whole), got)
		}
	}

	attribute := []byte(`<rdf:Description tiff:Orientation="6" tiff:Make="x"/>`)
	f("XMP attribute", nil, attribute, 6)
	f("XMP element", nil, []byte(`<tiff:Orientation>3</tiff:Orientation>`), 3)
	f("XMP beside EXIF without the tag", tiff(little, "II*\x00", maker), attribute, 6)
	f("EXIF before XMP", tiff(little, "II*\x00", short), attribute, 8)
	f("XMP cut", nil, []byte(`tiff:Orientation="`), 1)
	f("XMP without a number", nil, []byte(`tiff:Orientation="top"`), 1)
}

// Metadata is found where each format keeps it.
func TestOrientationInFiles(t *testing.T) {
	exif := string(tiff(binary.BigEndian, "MM\x00*", tiffEntry(binary.BigEndian, tagOrientation, 3, 1, []byte{0, 7})))
	const xmp = `<rdf:Description tiff:Orientation="6"/>`
	jpegSegment := func(body string) string {
		return "\xff\xe1" + string(binary.BigEndian.AppendUint16(nil, uint16(2+len(body)))) + body
	}
	pngChunk := func(id, body string) string {
		p := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
		p = append(p, id+body...)
		return string(binary.BigEndian.AppendUint32(p, crc32.ChecksumIEEE([]byte(id+body))))
	}
	var profile, compressed bytes.Buffer
	fmt.Fprintf(&profile, "\nexif\n %d\n%x\n%x\n", 6+len(exif), "Exif\x00\x00", exif)
	z := zlib.NewWriter(&compressed)
	if _, err := z.Write(profile.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	f := func(name, file string, at int, insert string, want int) {
		t.Helper()
		data := read(t, file)
		data = append(append(bytes.Clone(data[:at]), insert...), data[at:]...)
		if got := mustDecode(t, data).Orientation; got != want {
			t.Errorf("%s: orientation %d, want %d", name, got, want)
		}
	}
	const jpg, png = "small/plain_baseline_22-11-11_38x39.jpg", "small/png_rgb_3x50_0029.png"
	const xmpHeading = "http://ns.adobe.com/xap/1.0/\x00"
	f("JPEG", jpg, 2, "", 1)
	f("JPEG with EXIF", jpg, 2, jpegSegment("Exif\x00\x00"+exif), 7)
	f("JPEG with XMP", jpg, 2, jpegSegment(xmpHeading+xmp), 6)
	f("JPEG with both", jpg, 2, jpegSegment(xmpHeading+xmp)+jpegSegment("Exif\x00\x00"+exif), 7)
	const chunks = len(pngSignature) + 12 + 13 // after IHDR
	end := len(read(t, png)) - 12
	f("PNG", png, chunks, "", 1)
	f("PNG with EXIF", png, chunks, pngChunk("eXIf", exif), 7)
	f("PNG with EXIF behind the pixels", png, end, pngChunk("eXIf", exif), 7)
	f("PNG with XMP", png, chunks, pngChunk("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+xmp), 6)
	f("PNG with ImageMagick's EXIF", png, chunks, pngChunk("tEXt", "Raw profile type exif\x00"+profile.String()), 7)
	f("PNG with ImageMagick's EXIF, compressed", png, chunks, pngChunk("zTXt", "Raw profile type exif\x00\x00"+compressed.String()), 7)
	f("PNG with a broken profile", png, chunks, pngChunk("zTXt", "Raw profile type exif\x00\x00"+compressed.String()[:9]), 1)
	f("PNG with a profile that is not hexadecimal", png, chunks, pngChunk("tEXt", "Raw profile type exif\x00\nexif\n3\nxyz"), 1)
}
