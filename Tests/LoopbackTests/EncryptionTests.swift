import Host
import LoopbackTesting
import Pipeline
import Testing

extension Loopback {
    /// Line 1.
    @Suite("Encrypted and authenticated")
    struct EncryptionTests {
        private static let marker = "marker-4f1d-nobody-may-read-this"
        private static let request = "GET /stolen HTTP/1.1\r\nhost: payment\r\nconnection: close\r\n\r\n"

        /// Two sidecars on local files alone, so that the caller's config can name the relay as payment's address.
        @Test("A recording relay between two sidecars sees no plaintext marker, in either direction")
        func relay() throws {
            let folder = try WorkFolder()
            let authority = try TestAuthority()
            let application = try FaultService("payment", at: SocketAddress(unix: folder("app.sock"))!)
            application.always(.answer(200, Self.marker + "-answer"))
            let payment = try LocalSidecar("payment", in: folder, authority, application: application.address.description)
            let relay = try RecordingRelay(to: payment.inbound)
            let order = try LocalSidecar("order", in: folder, authority, payment: relay.address)
            let client = HTTPClient(order.proxy, host: "payment.weft")
            for _ in 0..<10 {
                let answer = try client.send("POST", "/\(Self.marker)", ["x-secret: \(Self.marker)"], body: "\(Self.marker)-request")
                #expect(answer.status == 200 && answer.body == Self.marker + "-answer", "\(answer)\n\(order.process)\n\(payment.process)")
            }
            #expect(application.count == 10)
            let seen = relay.recorded
            #expect(seen.count > 5_000 && relay.connections >= 1, "the traffic went through the relay")
            for word in [Self.marker, "POST /", "HTTP/1.1", "x-secret"] { #expect(!seen.contains(word), "\(word) is to be read") }
            // The relay itself can be trusted: it sees what is not encrypted.
            let open = try RecordingRelay(to: application.address)
            _ = try HTTPClient(open.address).get("/\(Self.marker)")
            #expect(open.recorded.contains(Self.marker))
        }

        @Test("A client without certificate, of a foreign CA, expired, or of a wrong SPIFFE id gets no byte of the application")
        func strangers() throws {
            let pair = try Pair()
            let application = pair.payment.application
            application.always(.answer(200, Self.marker))
            let mesh = try pair.mesh.stolenAuthority(), foreign = try TestAuthority()
            let id = "spiffe://shop.internal/ns/default/sa/order"
            // The probe is able to get through at all.
            let good = try TLSProbe.send(Self.request, to: pair.payment.inbound, as: mesh.issue(id))
            #expect(good.text.contains(Self.marker) && good.negotiated == "TLSv1.3", "\(good)")
            #expect(application.count == 1)
            let strangers: [(String, TestAuthority.Identity?)] = [
                ("without certificate", nil),
                ("of a foreign CA", try foreign.issue(id)),
                ("expired", try mesh.issue(id, lifetime: -60)),
                ("of another trust domain", try mesh.issue("spiffe://other.internal/ns/default/sa/order")),
                ("without a SPIFFE id", try mesh.issue("https://order.shop.internal/")),
                ("of a malformed SPIFFE id", try mesh.issue("spiffe://shop.internal/ns/default/order")),
            ]
            for (who, identity) in strangers {
                let outcome = try TLSProbe.send(Self.request, to: pair.payment.inbound, as: identity)
                #expect(outcome.received.isEmpty, "\(who): \(outcome) \(outcome.text)")
            }
            let plain = try? HTTPClient(pair.payment.inbound, timeout: .seconds(3)).get("/stolen")
            #expect(plain?.body.contains(Self.marker) != true, "plaintext: \(String(describing: plain))")
            #expect(application.count == 1 && application.heads == 1, "the application saw \(application.log)")
        }

        @Test("A caller does not talk to a payment of a wrong SPIFFE id, a foreign CA or an expired certificate")
        func impostors() throws {
            let folder = try WorkFolder()
            let authority = try TestAuthority(), foreign = try TestAuthority()
            let application = try FaultService("impostor", at: SocketAddress(unix: folder("app.sock"))!)
            let id = "spiffe://shop.internal/ns/default/sa/payment"
            for (who, identity) in [
                ("of another service", try authority.issue("spiffe://shop.internal/ns/default/sa/inventory")),
                ("of a foreign CA", try foreign.issue(id)), ("expired", try authority.issue(id, lifetime: -60)),
            ] {
                let payment = try LocalSidecar("payment", in: folder, authority, identity: identity, application: application.address.description)
                let order = try LocalSidecar("order", in: folder, authority, payment: payment.inbound)
                let answer = try HTTPClient(order.proxy, host: "payment.weft").get("/price")
                #expect(answer.status == 503 && answer.body.contains("TLS"), "\(who): \(answer)")
                #expect(application.heads == 0, "\(who)")
            }
        }
    }
}

/// A sidecar on local files alone.
private final class LocalSidecar {
    let process: MeshProcess
    let inbound: SocketAddress
    let proxy: SocketAddress

    init(
        _ service: String, in folder: WorkFolder, _ authority: TestAuthority, identity: TestAuthority.Identity? = nil, application: String? = nil,
        payment: SocketAddress? = nil
    ) throws {
        let identity = try identity ?? authority.issue("spiffe://shop.internal/ns/default/sa/\(service)")
        let number = Self.count
        Self.count += 1
        let certificate = try folder.write(identity.certificatePEM, to: "\(number).pem")
        let key = try folder.write(identity.keyPEM, to: "\(number).key")
        let bundle = try folder.write(authority.rootPEM, to: "\(number).roots")
        let workload = payment.map {
            #",{"kind":"Workload","name":"payment-1","service":"payment","address":"\#($0.host)","ports":[{"port":8080,"targetPort":\#($0.port)}]}"#
        }
        let state = folder("state\(number)")
        let config = try folder.write(
            """
            {"service":{"name":"\(service)"},"trustDomain":"shop.internal","inbound":{"address":"127.0.0.1:0"},"proxy":"127.0.0.1:0","admin":"127.0.0.1:0",
             \(application.map { "\"application\":\"\($0)\"," } ?? "") "state":"\(state)","tls":{"certificate":"\(certificate)","key":"\(key)","bundle":"\(bundle)"},
             "resources":[{"kind":"Mesh","name":"shop","trustDomain":"shop.internal","mtls":"strict"},
             {"kind":"Service","name":"order","ports":[{"port":8080,"protocol":"http"}]},{"kind":"Service","name":"payment","ports":[{"port":8080,"protocol":"http"}]}\(workload ?? "")]}
            """, to: "\(number).json")
        guard let binary = Programs.weft else { throw LoopbackMesh.Failure("no weft binary") }
        process = try MeshProcess(service, [binary, "sidecar", "--config", config], in: folder)
        let endpoints = try LoopbackMesh.endpoints(state, process)
        guard let inbound = endpoints["inbound"]?.string.flatMap({ SocketAddress($0) }), let proxy = endpoints["proxy"]?.string.flatMap({ SocketAddress($0) })
        else { throw LoopbackMesh.Failure("no addresses: \(endpoints.json)\n\(process)") }
        (self.inbound, self.proxy) = (inbound, proxy)
    }

    nonisolated(unsafe) private static var count = 0
}
