package import Pipeline

extension AddressRange {
    /// `10.0.0.0/8`, `fd00::/8`, or an address alone; nil for anything else, such as bits set behind the prefix.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = SocketAddress(host: String(parts[0]), port: 0)?.caller else { return nil }
        let isIPv6 = parts[0].contains(":")
        guard parts.count == 2 else {
            self.init(address, prefix: address.isIPv6 ? 128 : 32)
            return
        }
        // An IPv4 address in IPv6's clothes would have another prefix than the one written.
        guard isIPv6 == address.isIPv6, parts[1].count <= 3, parts[1].utf8.allSatisfy(ASCII.isDigit), let prefix = Int(parts[1]) else { return nil }
        self.init(address, prefix: prefix)
    }
}
