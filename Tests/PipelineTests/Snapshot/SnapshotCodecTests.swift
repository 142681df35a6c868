import Pipeline
import Testing

@Suite("Snapshot codec")
struct SnapshotCodecTests {
    private static let blank = Snapshot.waiting(for: TrafficPart.WorkloadRef(service: "payment", namespace: "default", version: "v1"))

    /// What decoding says against a text; nil if it takes it.
    private func refusal(_ part: Snapshot.Part, _ text: String) -> String? {
        var snapshot = Self.blank
        do {
            try SnapshotCodec.decode(part, text, into: &snapshot)
            return nil
        } catch {
            #expect(snapshot == Self.blank, "a refused part changed the snapshot")
            return error.description
        }
    }

    @Test("What is written is read back, part by part, and one part has one text", arguments: 0..<8)
    func roundTrip(_ seed: UInt64) throws {
        var source = RandomSnapshot(seed: seed)
        for _ in 0..<60 {
            let original = source.snapshot()
            var copy = Self.blank
            for part in Snapshot.Part.allCases {
                let text = SnapshotCodec.encode(part, of: original)
                try SnapshotCodec.decode(part, text, into: &copy)
                #expect(SnapshotCodec.encode(part, of: copy) == text)
            }
            #expect(copy == original)
        }
    }

    @Test("Decoding one part leaves the others alone")
    func parts() throws {
        var source = RandomSnapshot(seed: 3)
        let (original, other) = (source.snapshot(), source.snapshot())
        for part in Snapshot.Part.allCases {
            var copy = original
            try SnapshotCodec.decode(part, SnapshotCodec.encode(part, of: other), into: &copy)
            for each in Snapshot.Part.allCases {
                #expect(SnapshotCodec.encode(each, of: copy) == SnapshotCodec.encode(each, of: each == part ? other : original))
            }
        }
    }

    @Test("The order in which settings were put into a layer does not show in the text")
    func order() {
        let names = (0..<40).map { "stage-\($0)" }
        func text(_ names: [String]) -> String {
            var snapshot = Self.blank
            var stages: [String: String] = [:]
            for name in names { stages[name] = "{}" }
            snapshot.chain.outboundSettings = [SettingsLayer(origin: Origin(resource: "Mesh m"), stages: stages)]
            return SnapshotCodec.encode(.chain, of: snapshot)
        }
        #expect(text(names) == text(names.reversed()))
    }

    /// Computed apart from the code: FNV-1a 64, then SplitMix64's finisher.
    @Test("Versions are 16 digits of a hash of the text", arguments: [
        ("", "f52a15e9a9b5e89b"), ("a", "02c0bdbf481420f8"), ("{}", "fe0c740aae1f6f24"),
        (#"{"trustDomain":"shop.internal","roots":""}"#, "de6e8849e0f4ea81"),
    ])
    func versions(_ text: String, _ version: String) { #expect(SnapshotCodec.version(of: text) == version) }

    @Test("One character changes about half of a version's 64 bits")
    func mixing() throws {
        let base = SnapshotCodec.encode(.access, of: Self.blank)
        let before = try #require(UInt64(SnapshotCodec.version(of: base), radix: 16))
        var seen: Set<UInt64> = [before]
        var flipped = 0
        let bytes = Array(base.utf8)
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 1
            let version = try #require(UInt64(SnapshotCodec.version(of: String(decoding: changed, as: UTF8.self)), radix: 16))
            #expect(seen.insert(version).inserted)
            flipped += (version ^ before).nonzeroBitCount
        }
        let mean = Double(flipped) / Double(bytes.count)
        #expect((28...36).contains(mean), "\(mean) bits of 64")
    }

    @Test("What it does not understand is refused, with the place", arguments: [
        (Snapshot.Part.trust, "", "trust:1:1: the text is empty"),
        (.trust, "[]", "trust: expected an object, line 1"),
        (.trust, #"{"trustDomain":"a"}"#, "trust: lacks \"roots\", line 1"),
        (.trust, #"{"trustDomain":"a","roots":1}"#, "trust.roots: expected a string, line 1"),
        (.trust, "{\"trustDomain\":\"a\",\"roots\":\"\",\n\"crl\":[]}", "trust: unknown key \"crl\", line 2"),
        (.trust, #"{"trustDomain":"a","trustDomain":"b","roots":""}"#, "trust:1:20: key \"trustDomain\" stands here twice"),
        (.chain, #"{"inbound":{},"outbound":[],"inboundSettings":[],"outboundSettings":[]}"#, "chain.inbound: expected a list, line 1"),
        (
            .chain, #"{"inbound":[{"id":"a","filter":"a","config":[],"origin":{"resource":""}}],"outbound":[],"inboundSettings":[],"outboundSettings":[]}"#,
            "chain.inbound[0].config: expected an object, line 1"
        ),
    ])
    func refused(_ part: Snapshot.Part, _ text: String, _ reason: String) { #expect(refusal(part, text) == reason) }

    private func access(from source: String = #"{"external":true}"#, to operation: String = "", rule: String = "") -> String {
        """
        {"mtls":"strict","allowsByDefault":true,"rateLimits":[],"policies":[{"name":"p","action":"allow","targetsService":true,\
        "origin":{"resource":"p"},"rules":[{"from":[\(source)],"to":[\(operation)]\(rule)}]}]}
        """
    }

    @Test("A policy that says more than this sidecar knows is refused: ignoring it would let more in than was meant")
    func narrowed() {
        let rule = "access.policies[0].rules[0]"
        #expect(refusal(.access, access()) == nil)
        #expect(refusal(.access, access(rule: #","when":{"header":"x-admin"}"#)) == "\(rule): unknown key \"when\", line 1")
        #expect(refusal(.access, access(to: #"{"ports":[],"methods":[],"paths":[],"hosts":["a"]}"#)) == "\(rule).to[0]: unknown key \"hosts\", line 1")
        #expect(refusal(.access, access(to: #"{"methods":[],"paths":[]}"#)) == "\(rule).to[0]: lacks \"ports\", line 1")
        #expect(refusal(.access, access(to: #"{"ports":[0],"methods":[],"paths":[]}"#)) == "\(rule).to[0].ports[0]: expected a number from 1 to 65535, line 1")
        #expect(refusal(.access, access().replacing("strict", with: "lenient")) == "access.mtls: expected one of \"strict\", \"permissive\", line 1")
    }

    @Test("A source is one thing: none, half a name or two at once are refused", arguments: [
        "{}", #"{"external":false}"#, #"{"service":"a"}"#, #"{"service":"a","namespace":"b","prefix":"spiffe://"}"#,
        #"{"prefix":"spiffe://","external":true}"#, #"{"namespace":"b","external":true}"#, #"{"everybody":true}"#, #"{"namespace":null}"#,
    ])
    func sources(_ source: String) { #expect(refusal(.access, access(from: source)) != nil) }

    private func traffic(_ rule: String) -> String {
        """
        {"workload":{"service":"a","namespace":"d","version":""},"inboundSettings":[],"deniesEgress":true,"services":[{"name":"b",\
        "namespace":"d","port":80,"settings":[],"routeName":"b","route":[{"name":"r",\(rule),"settings":[]}],"versions":[]}]}
        """
    }

    @Test("A match or a backend that says two things at once, or half of one, is refused")
    func rules() {
        let backend = #""backends":[{"weight":1}]"#
        #expect(refusal(.traffic, traffic(#""matches":[{"pathExact":"/a","headers":[]}],"# + backend)) == nil)
        for match in [
            #"{"pathExact":"/a","pathPrefix":"/b","headers":[]}"#, #"{"pathRegex":"/a","headers":[]}"#, #"{"pathExact":"/a"}"#,
            #"{"headers":[{"name":"x","exact":"a","prefix":"b"}]}"#, #"{"headers":[{"name":"x"}]}"#,
        ] { #expect(refusal(.traffic, traffic("\"matches\":[\(match)]," + backend)) != nil, "\(match)") }
        for backend in [#"{"service":"c","weight":1}"#, #"{"namespace":"c","weight":1}"#, #"{"weight":-1}"#, #"{"weight":1.5}"#, #"{"weight":99999999999999999999}"#] {
            #expect(refusal(.traffic, traffic("\"matches\":[],\"backends\":[\(backend)]")) != nil, "\(backend)")
        }
    }

    @Test("A part of the largest mesh that is planned for fits the limits of reader and frame, and reads back")
    func large() throws {
        var snapshot = Self.blank
        snapshot.traffic.services = (0..<5_000).map { number in
            TrafficPart.ServiceEntry(
                name: "service-\(number)", namespace: "default", port: 8080, defaultVersion: "v1",
                versions: [
                    TrafficPart.VersionEntry(
                        name: "v1",
                        endpoints: (0..<6).map { TrafficPart.EndpointEntry(id: "service-\(number)-v1-\($0)", address: "10.0.\(number % 256).\($0):15006") })
                ])
        }
        let text = SnapshotCodec.encode(.traffic, of: snapshot)
        #expect(text.utf8.count < PushLimits.frameBytesMax)
        var copy = Self.blank
        try SnapshotCodec.decode(.traffic, text, into: &copy)
        #expect(copy.traffic == snapshot.traffic)
    }

    @Test("Mutated parts never trap: each is refused with a reason, or means what it is written back as", arguments: 0..<8)
    func fuzz(_ seed: UInt64) throws {
        var source = RandomSnapshot(seed: seed &+ 100)
        var random = Random(seed: seed &* 0x9E37_79B9)
        let pieces = ["{", "}", "[", "]", ",", "\"", "null", "-1", "1e9", "99999999999999999999", "true", "\"from\":[]", "\\u0000", "\u{7F}", " "].map { Array($0.utf8) }
        var taken = 0
        for _ in 0..<200 {
            let original = source.snapshot()
            for part in Snapshot.Part.allCases {
                var bytes = Array(SnapshotCodec.encode(part, of: original).utf8)
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    guard !bytes.isEmpty else { break }
                    let at = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                    case 1: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...30, using: &random)))
                    case 2: bytes.insert(contentsOf: pieces[Int.random(in: 0..<pieces.count, using: &random)], at: at)
                    default: bytes[at] ^= 1
                    }
                }
                var copy = Self.blank
                do {
                    try SnapshotCodec.decode(part, String(decoding: bytes, as: UTF8.self), into: &copy)
                } catch {
                    #expect(!error.description.isEmpty && copy == Self.blank)
                    continue
                }
                taken += 1
                let text = SnapshotCodec.encode(part, of: copy)
                var again = Self.blank
                try SnapshotCodec.decode(part, text, into: &again)
                #expect(again == copy && SnapshotCodec.encode(part, of: again) == text)
            }
        }
        #expect(taken > 20, "the mutations hardly ever got past the reader: \(taken)")
    }
}
