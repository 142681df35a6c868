import Pipeline
import Testing

@Suite struct SPIFFEIDTests {
    @Test("Ids the standard allows", arguments: [
        "spiffe://trustdomain", "spiffe://trustdomain/path", "spiffe://a.b-c_9/Path/x.y-z_1", "spiffe://t/...", "spiffe://t/.a", "spiffe://255.0.0.1/a",
    ])
    func good(_ text: String) throws { #expect(try SPIFFEID(text).description == text) }

    @Test("Ids the standard refuses, each for its reason")
    func bad() {
        let cases: [(String, SPIFFEID.Problem)] = [
            ("", .empty), ("trustdomain/path", .wrongScheme), ("http://t/p", .wrongScheme), ("SPIFFE://t/p", .wrongScheme), ("spiffe:/t", .wrongScheme),
            ("spiffe://", .missingTrustDomain), ("spiffe:///p", .missingTrustDomain), ("spiffe://T/p", .badTrustDomainCharacter),
            ("spiffe://t:1/p", .badTrustDomainCharacter), ("spiffe://u@t/p", .badTrustDomainCharacter), ("spiffe://t\u{0}/p", .badTrustDomainCharacter),
            ("spiffe://t?x", .badTrustDomainCharacter), ("spiffe://t/", .trailingSlash), ("spiffe://t/p/", .trailingSlash), ("spiffe://t//p", .emptySegment),
            ("spiffe://t/./p", .dotSegment), ("spiffe://t/../p", .dotSegment), ("spiffe://t/p/..", .dotSegment), ("spiffe://t/%63", .badPathCharacter),
            ("spiffe://t/p?x", .badPathCharacter), ("spiffe://t/p#x", .badPathCharacter), ("spiffe://t/p\u{0}", .badPathCharacter),
            ("spiffe://t/ü", .badPathCharacter), ("spiffe://" + String(repeating: "a", count: 256) + "/p", .tooLong),
            ("spiffe://t/" + String(repeating: "a", count: 2048), .tooLong),
        ]
        for (text, problem) in cases { #expect(throws: problem, "\(text)") { try SPIFFEID(text) } }
    }

    @Test("Every byte outside the two alphabets is refused, in the domain and in the path")
    func everyByte() {
        let both = Set("abcdefghijklmnopqrstuvwxyz0123456789-._".utf8), upper = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min...UInt8.max where byte != 0x2F {
            let inDomain = Array("spiffe://t".utf8) + [byte] + Array("/p".utf8), inPath = Array("spiffe://t/p".utf8) + [byte]
            #expect(((try? SPIFFEID(inDomain)) != nil) == both.contains(byte))
            #expect(((try? SPIFFEID(inPath)) != nil) == (both.contains(byte) || upper.contains(byte)))
        }
    }

    @Test("A workload's id and its three names are one")
    func workload() throws {
        let id = try SPIFFEID(trustDomain: "shop.internal", namespace: "default", service: "payment")
        #expect(id.description == "spiffe://shop.internal/ns/default/sa/payment")
        #expect(id.trustDomain == "shop.internal")
        #expect(id.workload.map { [$0.namespace, $0.service] } == ["default", "payment"])
        #expect(try SPIFFEID("spiffe://t/ns/a/sa/b/c").workload == nil)
        #expect(try SPIFFEID("spiffe://t").workload == nil)
        #expect(throws: SPIFFEID.Problem.badPathCharacter) { try SPIFFEID(trustDomain: "t", namespace: "a/sa/x", service: "b") }
        #expect(throws: SPIFFEID.Problem.emptySegment) { try SPIFFEID(trustDomain: "t", namespace: "", service: "b") }
    }
}
