import Pipeline
import Testing
import Filters

@Suite("tls")
struct TLSTests {
    private func transport(_ mode: AccessPart.MTLS) throws -> TransportSecurity? {
        let snapshot = Snapshot(
            chain: ChainPart(inbound: [], outbound: []),
            traffic: TrafficPart(workload: .init(service: "payment", namespace: "default", version: ""), services: []),
            access: AccessPart(mtls: mode), trust: TrustPart(trustDomain: "shop.internal", roots: ""))
        let context = BuildContext(loops: 1)
        var setup = StageSetup(
            id: "tls", filter: "tls", isInbound: true, snapshot: snapshot, context: context, lease: context.shared.makeLease(), loop: 0, slotStart: 0)
        let made = FilterRegistry([TLS.self]).filters[0].make([], &setup)
        #expect(made.problems.isEmpty)
        return (made.filter as? any TransportFilter)?.transport
    }

    @Test("The mode is the snapshot's, not the chain's")
    func mode() throws {
        #expect(try transport(.strict) == TransportSecurity(mode: .strict))
        #expect(try transport(.permissive) == TransportSecurity(mode: .permissive))
    }

    @Test("Nothing older than TLS 1.3 can be asked for, and no mode")
    func config() {
        let descriptor = FilterRegistry([TLS.self]).filters[0]
        func problems(_ text: String) -> Int {
            descriptor.check([ConfigLayer(label: "test", node: ConfigReader.read(text, name: "test").root!)], "config").problems.count
        }
        #expect(problems(#"{"minimumVersion":"1.3"}"#) == 0)
        #expect(problems(#"{"minimumVersion":"1.2"}"#) == 1)
        #expect(problems(#"{"mode":"disabled"}"#) == 1)
    }
}
