import Pipeline
import Testing

@testable import Host

@Suite("Address ranges")
struct AddressRangeTests {
    private func caller(_ host: String) throws -> CallerAddress { try #require(SocketAddress(host: host, port: 1)).caller }

    @Test("A range holds the addresses of its family that begin as it does, and no other", arguments: [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["9.255.255.255", "11.0.0.0", "::a00:1", "::1"]),
        ("192.168.4.0/22", ["192.168.4.1", "192.168.7.255"], ["192.168.3.255", "192.168.8.0"]),
        ("10.1.2.3", ["10.1.2.3"], ["10.1.2.2", "10.1.2.4"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1"]),
        ("fd00::/8", ["fd00::", "fdff:ffff::1"], ["fc00::1", "fe00::", "10.0.0.1"]),
        ("2001:db8:0:0:8000::/65", ["2001:db8::8000:0:0:1", "2001:db8::ffff:0:0:1"], ["2001:db8::7fff:0:0:1", "2001:db8:0:1:8000::"]),
        ("::1", ["::1"], ["::2", "::", "0.0.0.1"]),
        ("::ffff:10.1.2.3", ["10.1.2.3"], ["10.1.2.4"]),
    ])
    func contains(text: String, inside: [String], outside: [String]) throws {
        let range = try #require(AddressRange(text))
        for host in inside { #expect(try range.contains(caller(host)), "\(host)") }
        for host in outside { #expect(try !range.contains(caller(host)), "\(host)") }
        #expect(!range.contains(CallerAddress()), "a unix socket has no address")
        #expect(range.isEverything == text.hasSuffix("/0"))
    }

    @Test("What is no range is none", arguments: [
        "", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.1/8", "10.0.0/8", "fd00::/129", "fd00::1/8", "shop.test",
        "[::1]", "10.0.0.0/0008", "::ffff:10.0.0.0/104", "unix:/a", "10.0.0.0 /8",
    ])
    func wrong(text: String) { #expect(AddressRange(text) == nil) }
}
