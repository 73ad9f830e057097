//go:build full

package loader

func init() {
	published = append(published, struct {
		config string
		seed   uint64
		bytes  int64
		sha256 string
	}{"vit-h-14", 1, 2528371304, "5cc04a43cda8a9c68e3b731128b88ae4712f46662dec2db2abd8a39ac2189860"})
}
