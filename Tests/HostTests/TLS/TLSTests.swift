import Glibc
import Pipeline
import Testing

@testable import Host

/// Two transports over a socket pair, driven in turns without a loop.
struct TLSPair {
    var client: Transport
    var server: Transport

    init(_ clientContext: TLSContext, _ serverContext: TLSContext, expecting service: String = "payment", sendBuffer: Int32 = 0) throws {
        let (a, b) = EventLoopTests.pair()
        var options = Socket.Options()
        options.sendBufferBytes = sendBuffer
        Socket.configure(a, .unix, options)
        Socket.configure(b, .unix, options)
        let peer = ExpectedPeer([try SPIFFEID(TestAuthority.id(service))], endpoint: "127.0.0.1:1")
        client = try #require(clientContext.connect(a, expecting: peer))
        server = try #require(serverContext.accept(b))
    }

    /// Both outcomes once neither side can go on.
    mutating func handshake() -> (client: Transport.Handshake, server: Transport.Handshake) {
        var ours = Transport.Handshake.wouldBlock, theirs = Transport.Handshake.wouldBlock
        for _ in 0..<1000 where ours == .wouldBlock || theirs == .wouldBlock {
            if ours == .wouldBlock { ours = client.handshake() }
            if theirs == .wouldBlock { theirs = server.handshake() }
            if case .failed = theirs, ours != .wouldBlock { break }
            if case .failed = ours { _ = server.handshake(); break }
        }
        return (ours, theirs)
    }

    mutating func close() {
        client.close()
        server.close()
    }

    /// Lets the client take the server's ticket.
    mutating func takeTicket() {
        var byte: UInt8 = 0
        _ = client.read(into: &byte, count: 1)
    }
}

@Suite struct TLSTests {
    let authority: TestAuthority
    let server: TLSContext

    init() throws {
        authority = try TestAuthority()
        server = try Self.server(authority, try authority.workload("payment"))
    }

    static func server(_ authority: TestAuthority, _ identity: LocalIdentity, scope: String = "inbound") throws -> TLSContext {
        try TLSContext.server(identity: identity, trust: [authority.root], trustDomain: "shop.internal", scope: scope)
    }

    static func client(_ authority: TestAuthority, _ identity: LocalIdentity?) throws -> TLSContext {
        try TLSContext.client(identity: identity, trust: .roots([authority.root]), trustDomain: "shop.internal")
    }

    @Test("Two workloads of one domain know each other, agree on HTTP/1.1, and exchange bytes")
    func good() throws {
        let client = try Self.client(authority, authority.workload("order"))
        var pair = try TLSPair(client, server)
        defer { pair.close() }
        let outcome = pair.handshake()
        #expect(outcome.client == .done && outcome.server == .done)
        #expect(pair.server.peerIdentity?.id.workload?.service == "order")
        #expect(pair.client.peerIdentity?.id.description == TestAuthority.id("payment"))
        #expect(pair.server.applicationProtocol == "http/1.1")
        #expect(pair.client.write(from: "hello", count: 5) == .bytes(5))
        var buffer = [UInt8](repeating: 0, count: 64)
        #expect(pair.server.read(into: &buffer, count: 64) == .bytes(5))
        #expect(String(decoding: buffer[..<5], as: UTF8.self) == "hello")
        #expect(pair.server.mayHaveMore == false)
        pair.client.finishWriting()
        #expect(pair.server.read(into: &buffer, count: 64) == .closed)
    }

    @Test("A server refuses these clients in the handshake, says why, and the client knows that nothing was served", arguments: [
        "no certificate", "other root", "expired", "not yet valid", "no name", "two names", "dns only", "other domain", "upper case domain",
        "path with dots", "percent", "port", "query", "server purpose only", "authority as leaf", "may sign certificates", "no usage",
    ])
    func refusedClients(_ fault: String) throws {
        let good = TestAuthority.id("order")
        let identity: LocalIdentity? =
            switch fault {
            case "no certificate": nil
            case "other root": try TestAuthority().workload("order")
            case "expired": try authority.issue("URI:" + good, lifetime: -10)
            case "not yet valid": try authority.issue("URI:" + good, age: -600)
            case "no name": try authority.issue(nil)
            case "two names": try authority.issue("URI:\(good),URI:\(TestAuthority.id("payment"))")
            case "dns only": try authority.issue("DNS:order.shop.internal")
            case "other domain": try authority.issue("URI:spiffe://evil.internal/ns/default/sa/order")
            case "upper case domain": try authority.issue("URI:spiffe://Shop.internal/ns/default/sa/order")
            case "path with dots": try authority.issue("URI:spiffe://shop.internal/ns/default/../sa/order")
            case "percent": try authority.issue("URI:spiffe://shop.internal/ns/default/sa/%63")
            case "port": try authority.issue("URI:spiffe://shop.internal:1/ns/default/sa/order")
            case "query": try authority.issue("URI:\(good)?x")
            case "server purpose only": try authority.issue("URI:" + good, purposes: "serverAuth")
            case "authority as leaf": try authority.issue("URI:" + good, usage: "digitalSignature,keyCertSign", constraints: "critical,CA:TRUE")
            case "may sign certificates": try authority.issue("URI:" + good, usage: "digitalSignature,keyCertSign")
            default: try authority.issue("URI:" + good, usage: "keyAgreement")
            }
        let client = try Self.client(authority, identity)
        var pair = try TLSPair(client, server)
        defer { pair.close() }
        let outcome = pair.handshake()
        guard case .failed(let why) = outcome.server else { Issue.record("\(fault) was accepted: \(outcome)"); return }
        #expect(why.tls?.kind == .refusedPeer, "\(fault): \(why)")
        // TLS 1.3: the client is done before the server has looked. It may write; the server reads nothing.
        #expect(outcome.client == .done)
        #expect(pair.client.write(from: "GET", count: 3) == .bytes(3))
        var byte: UInt8 = 0
        #expect(pair.server.read(into: &byte, count: 1) == .wouldBlock)
        guard case .failed(let told) = pair.client.read(into: &byte, count: 1) else { Issue.record("the client was not told"); return }
        #expect(told.tls?.kind == .alert)
        #expect(told.isProvablyUnsent, "\(told)")
    }

    @Test("A client refuses these servers before it has written a byte", arguments: [
        "other service", "look-alike", "other root", "expired", "client purpose only", "two names",
    ])
    func refusedServers(_ fault: String) throws {
        let identity: LocalIdentity =
            switch fault {
            case "other service": try authority.workload("analytics")
            case "look-alike": try authority.workload("payment-evil")
            case "other root": try TestAuthority().workload("payment")
            case "expired": try authority.workload("payment", lifetime: -10)
            case "client purpose only": try authority.issue("URI:" + TestAuthority.id("payment"), purposes: "clientAuth")
            default: try authority.issue("URI:\(TestAuthority.id("payment")),URI:\(TestAuthority.id("order"))")
            }
        var pair = try TLSPair(Self.client(authority, authority.workload("order")), Self.server(authority, identity))
        defer { pair.close() }
        guard case .failed(let why) = pair.handshake().client else { Issue.record("\(fault) was accepted"); return }
        #expect(why.tls?.kind == .refusedPeer)
        #expect(why.isProvablyUnsent)
        var byte: UInt8 = 0
        #expect(pair.client.write(from: &byte, count: 1) == .wouldBlock)
        if fault == "other service" { #expect(why.description.contains("not the expected one")) }
        if fault == "expired" { #expect(why.description.contains("expired")) }
    }

    @Test("A NUL in a certificate's name does not end it: the name is refused, not cut")
    func nulInName() throws {
        // SEQUENCE { [6] "spiffe://…/order\0.evil" }, as no tool would write it.
        let name = Array(TestAuthority.id("order").utf8) + [0] + Array(".evil".utf8)
        let der = [0x30, UInt8(name.count + 2), 0x86, UInt8(name.count)] + name
        let hex = der.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
        var pair = try TLSPair(Self.client(authority, authority.issue("DER:" + hex)), server)
        defer { pair.close() }
        guard case .failed(let why) = pair.handshake().server else { Issue.record("accepted"); return }
        #expect(why.description.contains("not a SPIFFE id"))
    }

    @Test("A session is resumed in its own context, and never in one with another root, certificate or scope")
    func resumption() throws {
        let identity = try authority.workload("payment")
        let first = try Self.server(authority, identity)
        let client = try Self.client(authority, authority.workload("order"))
        func isResumed(_ server: TLSContext, _ client: TLSContext) throws -> Bool {
            var pair = try TLSPair(client, server)
            defer { pair.close() }
            let outcome = pair.handshake()
            #expect(outcome.client == .done && outcome.server == .done)
            #expect(pair.server.peerIdentity?.id.workload?.service == "order")
            #expect(pair.server.isResumed == pair.client.isResumed)
            pair.takeTicket()
            return pair.server.isResumed
        }
        #expect(try isResumed(first, client) == false)
        #expect(try isResumed(first, client))
        #expect(try isResumed(first, client))
        #expect(try isResumed(Self.server(authority, identity, scope: "policy 2"), client) == false)
        #expect(try isResumed(Self.server(authority, authority.workload("payment")), client) == false)
        #expect(try isResumed(first, Self.client(authority, authority.workload("order"))) == false)
    }

    @Test("A session ends with the certificate it was made with")
    func resumptionAfterExpiry() throws {
        let client = try Self.client(authority, authority.workload("order", lifetime: 2))
        var pair = try TLSPair(client, server)
        #expect(pair.handshake().server == .done)
        pair.takeTicket()
        pair.close()
        usleep(3_100_000)
        var again = try TLSPair(client, server)
        defer { again.close() }
        guard case .failed(let why) = again.handshake().server else { Issue.record("an expired certificate was resumed"); return }
        #expect(why.description.contains("expired"))
    }

    @Test("A first contact trusts the pinned root if the server sends it, and no other")
    func pinnedRoot() throws {
        let identity = try authority.workload("control-plane")
        let server = try TLSContext.server(
            identity: identity, trust: [authority.root], trustDomain: "shop.internal", clients: .optional, scope: "join", sendsRoot: authority.root)
        func outcome(_ pin: [UInt8]) throws -> Transport.Handshake {
            let client = try TLSContext.client(identity: nil, trust: .pinnedRoot(sha256: pin), trustDomain: "shop.internal")
            var pair = try TLSPair(client, server, expecting: "control-plane")
            defer { pair.close() }
            let outcome = pair.handshake()
            if outcome.client == .done { #expect(pair.server.peerIdentity == nil) }
            return outcome.client
        }
        #expect(try outcome(authority.root.sha256) == .done)
        guard case .failed(let why) = try outcome(TestAuthority().root.sha256) else { Issue.record("trusted"); return }
        #expect(why.description.contains("pinned"))
    }

    @Test("A client that offers only protocols we do not speak is refused")
    func protocols() throws {
        let client = try TLSContext.client(
            identity: authority.workload("order"), trust: .roots([authority.root]), trustDomain: "shop.internal", applicationProtocols: ["smtp"])
        var pair = try TLSPair(client, server)
        defer { pair.close() }
        guard case .failed(let why) = pair.handshake().client else { Issue.record("accepted"); return }
        #expect(why.tls?.kind == .alert)
    }

    @Test("A megabyte passes both ways through send buffers of 1 KiB, read in odd pieces, written from memory that moves")
    func smallBuffers() throws {
        var pair = try TLSPair(Self.client(authority, authority.workload("order")), server, sendBuffer: 1024)
        defer { pair.close() }
        let outcome = pair.handshake()
        #expect(outcome.client == .done && outcome.server == .done)
        let total = 300_000
        let bytes = (0..<total).map { UInt8(truncatingIfNeeded: $0 &* 17 &+ $0 >> 9) }
        var random = Random(seed: 3)
        var sent = [0, 0]
        var got: [[UInt8]] = [[], []]
        var rounds = 0
        while got[0].count < total || got[1].count < total, rounds < 2_000_000 {
            rounds += 1
            for side in 0..<2 {
                if sent[side] < total {
                    let half = Int.random(in: 1...20_000, using: &random)
                    let moved = Array(bytes[sent[side]...].prefix(40_000))
                    let result = moved.withUnsafeBytes { memory -> IOResult in
                        let cut = min(half, memory.count)
                        let pieces = [IOPiece(memory.baseAddress, count: cut), IOPiece(memory.baseAddress! + cut, count: memory.count - cut)]
                        return side == 0 ? pair.client.write(pieces, count: 2) : pair.server.write(pieces, count: 2)
                    }
                    switch result {
                    case .bytes(let count): sent[side] += count
                    case .wouldBlock: break
                    default: Issue.record("write: \(result)"); return
                    }
                }
                var piece = [UInt8](repeating: 0, count: Int.random(in: 1...5_000, using: &random))
                let result = side == 0 ? pair.server.read(into: &piece, count: piece.count) : pair.client.read(into: &piece, count: piece.count)
                switch result {
                case .bytes(let count): got[side] += piece[..<count]
                case .wouldBlock: break
                default: Issue.record("read: \(result)"); return
                }
            }
        }
        #expect(got[0] == bytes)
        #expect(got[1] == bytes)
    }

    @Test("Plaintext and TLS are told apart by their first two bytes")
    func sniff() {
        func sniff(_ bytes: [UInt8]) -> ProtocolSniff { bytes.withUnsafeBytes { ProtocolSniff($0) } }
        #expect(sniff([0x16, 0x03, 0x01]) == .tls)
        #expect(sniff(Array("GET / ".utf8)) == .plaintext)
        #expect(sniff([0x16]) == .undecided)
        #expect(sniff([]) == .undecided)
        #expect(sniff([0x16, 0x02]) == .plaintext)
        #expect(sniff([0x47]) == .plaintext)
    }

    @Test("Plaintext on a TLS port fails the handshake")
    func plaintext() throws {
        let (a, b) = EventLoopTests.pair()
        defer { Descriptor.close(a) }
        var transport = try #require(server.accept(b))
        defer { transport.close() }
        _ = Socket.write(a, from: "GET / HTTP/1.1\r\n\r\n", count: 18)
        guard case .failed(let why) = transport.handshake() else { Issue.record("accepted"); return }
        #expect(why.tls?.kind == .violation)
    }

    @Test("Keys and certificates survive their text; a foreign key is refused")
    func text() throws {
        let identity = try authority.workload("order")
        let again = try LocalIdentity(keyPEM: identity.key.pem, chainPEM: identity.certificate.pem + authority.root.pem)
        #expect(again.certificate.sha256 == identity.certificate.sha256)
        #expect(again.intermediates.count == 1)
        #expect(abs(again.expires - Clock.unixSeconds() - 3600) < 60)
        #expect(throws: CertificateError.self) { try LocalIdentity(key: PrivateKey.generate(), chain: [identity.certificate]) }
        #expect(throws: CertificateError.self) { try Certificate.all(inPEM: Array("nothing".utf8)) }
        #expect(throws: CertificateError.self) { try PrivateKey(pem: []) }
        let request = String(decoding: try identity.key.signingRequest(for: TestAuthority.id("order")), as: UTF8.self)
        #expect(request.hasPrefix("-----BEGIN CERTIFICATE REQUEST-----"))
    }
}
