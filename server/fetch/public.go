package fetch

import "net/netip"

// special are the blocks that are not the public internet, or that can lead away
// from it: transition addresses carry an IPv4 address inside.
//
// Source: IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 6890.
var special = func() (list []netip.Prefix) {
	for _, text := range []string{
		"0.0.0.0/8",        // this network
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // carrier's NAT; metadata services of some clouds
		"127.0.0.0/8",      // loopback
		"169.254.0.0/16",   // link-local; metadata services of most clouds
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocol assignments
		"192.0.2.0/24",     // documentation
		"192.88.99.0/24",   // 6to4 relays
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarks
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, broadcast
		"168.63.129.16/32", // Azure's own services, on a public address

		"2001::/23",     // protocol assignments, Teredo among them
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4
		"3fff::/20",     // documentation
	} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}()

// globalUnicast is all of IPv6 that is given out to the public internet. What is
// outside it, such as loopback, private, mapped and translated addresses, is not.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// public reports whether addr, which is not an IPv4 address mapped to IPv6, is
// one of the public internet.
func public(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" || addr.Is6() && !globalUnicast.Contains(addr) {
		return false
	}
	for _, block := range special {
		if block.Contains(addr) {
			return false
		}
	}
	return true
}
