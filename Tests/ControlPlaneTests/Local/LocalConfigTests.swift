import ControlPlane
import Host
import Pipeline
import Testing

@Suite("Local config")
struct LocalConfigTests {
    private let folder: SidecarFolder
    init() throws { folder = try SidecarFolder() }

    private static let tls = #""tls":{"certificate":"own.pem","key":"own.key","bundle":"ca.pem"}"#
    private static let both = #"{"kind":"Service","name":"order","ports":[{"port":80}]},{"kind":"Service","name":"payment","ports":[{"port":80}]}"#

    @Test("A whole file: settings, listeners and the snapshot, paths counted from the file's own folder")
    func whole() throws {
        let config = try folder.config(
            #"""
            { // the caller's sidecar
              "service": {"name": "order", "namespace": "shop", "version": "v2"},
              "trustDomain": "shop.internal", "workers": 2, \#(Self.tls), "state": "run",
              "inbound": {"address": "127.0.0.1:8443"}, "application": "unix:/run/order.sock",
              "proxy": "127.0.0.1:0", "admin": "[::1]:0",
              "outbound": [{"service": "payment", "address": "127.0.0.1:9001"}, {"service": "audit", "namespace": "ops", "address": "127.0.0.1:9002"}],
              "resources": [
                {"kind":"Service","name":"order","namespace":"shop","ports":[{"port":80}]},
                {"kind":"Service","name":"payment","namespace":"shop","ports":[{"port":80}]},
                {"kind":"Service","name":"audit","namespace":"ops","ports":[{"port":80}],"mtls":"permissive"},
                {"kind":"Workload","name":"payment-1","namespace":"shop","service":"payment","version":"v1","address":"10.0.0.7","ports":[{"port":80,"targetPort":8443}]},
                {"kind":"Workload","name":"audit-1","namespace":"ops","service":"audit","address":"10.0.0.8","sidecar":false},
              ],
            }
            """#)
        #expect(config.warnings.isEmpty)
        let settings = config.settings
        #expect(settings.workload == TrafficPart.WorkloadRef(service: "order", namespace: "shop", version: "v2"))
        #expect(settings.workers == 2 && settings.stateDirectory == "\(folder.path)/run" && settings.controlPlane == nil)
        #expect(settings.application == SocketAddress("unix:/run/order.sock") && settings.admin == SocketAddress("[::1]:0"))
        #expect(settings.entrances.inbound == SocketAddress("127.0.0.1:8443") && !settings.entrances.inboundIsPlain)
        #expect(settings.entrances.proxy == SocketAddress("127.0.0.1:0"))
        #expect(settings.entrances.outbound.map { "\($0.service).\($0.namespace) \($0.address)" } == ["payment.shop 127.0.0.1:9001", "audit.ops 127.0.0.1:9002"])
        #expect(settings.certificateFiles?.certificate == "\(folder.path)/own.pem" && settings.certificateFiles?.key == "\(folder.path)/own.key")
        #expect(config.snapshot.trust == TrustPart(trustDomain: "shop.internal", roots: "roots"))
        #expect(
            config.snapshot.service("payment", namespace: "shop")?.versions
                == [.init(name: "v1", endpoints: [.init(id: "payment-1", address: "10.0.0.7:8443", hasSidecar: true)])],
            "a Workload without \"sidecar\": false is an mTLS peer")
        #expect(
            config.snapshot.service("audit", namespace: "ops")?.versions
                == [.init(name: "", endpoints: [.init(id: "audit-1", address: "10.0.0.8:80", hasSidecar: false)])])
        #expect(ChainBuilder(registry: StandardStages.registry, context: BuildContext(loops: 1)).check(config.snapshot) == [])
    }

    @Test("Trusted proxies are addresses and ranges; a slip is shown where it stands")
    func trustedProxies() throws {
        let inbound = { (ranges: String) in
            #"{"service":{"name":"order"},"application":"127.0.0.1:1","inbound":{"address":"127.0.0.1:0","plaintext":true,"trustedProxies":[\#(ranges)]}}"#
        }
        #expect(try folder.config(inbound("")).settings.entrances.trustedProxies.isEmpty)
        let config = try folder.config(inbound(#""10.1.2.3","fd00::/8""#))
        #expect(config.warnings.isEmpty)
        #expect(config.settings.entrances.trustedProxies == [AddressRange("10.1.2.3"), AddressRange("fd00::/8")].compactMap(\.self))
        #expect(try folder.problems(inbound("\n\"10.0.0.0/8\",\n\"10.0.0.1/8\"")) == [#"3 "10.0.0.1/8" is no address and no range of addresses"#])
        #expect(try folder.problems(inbound("\"::/0\"")) == ["1 warning: everybody may say where a request came from"])
    }

    @Test("The least: a name; everything else has a default")
    func least() throws {
        let config = try folder.config(#"{"service":{"name":"order"}}"#)
        #expect(config.warnings.isEmpty && config.settings.workers == 1 && config.settings.entrances.inbound == nil)
        #expect(config.snapshot.chain.outbound.map(\.id) == ["stats", "request-timeout", "retry", "breaker", "attempt-timeout", "router", "tls"])
        #expect(config.snapshot.trust.trustDomain == "weft.internal" && config.snapshot.access.mtls == .strict)
    }

    @Test("Everything that is wrong is said at once, each with its own line")
    func allAtOnce() throws {
        let text = #"""
            {"service":{"name":"order"},
            "workers":0,
            "proxi":"127.0.0.1:1",
            "resources":[
            {"kind":"Service","name":"order","ports":[{"port":80}],"labls":{}},
            {"kind":"Route","name":"r","service":"paymnet","rules":[{"backends":[{}]}]}]}
            """#
        #expect(try folder.problems(text) == ["2 \"workers\" is 0, out of bounds", "3 unknown key \"proxi\" in a sidecar's config → proxy"])
        let second = text.replacing("\"workers\":0", with: "\"workers\":1").replacing("proxi", with: "proxy")
        #expect(try folder.problems(second) == ["5 unknown key \"labls\" in Service \"order\" → labels", "6 there is no service \"paymnet\""])
    }

    @Test("An address that is none is shown where it stands")
    func addresses() throws {
        let text = #"""
            {"service":{"name":"order"},"resources":[\#(Self.both)],\#(Self.tls),
            "inbound":{"address":"localhost:80"},"application":"127.0.0.1:9",
            "proxy":"127.0.0.1",
            "outbound":[{"service":"payment","address":"127.0.0.1:1"},
            {"service":"order",
            "address":"payment:80"}]}
            """#
        #expect(try folder.problems(text) == ["2 \"localhost:80\" is no address", "3 \"127.0.0.1\" is no address", "6 \"payment:80\" is no address"])
    }

    @Test("Two entrances at one address would share its callers between them", arguments: [
        (#""inbound":{"address":"127.0.0.1:80"},"application":"unix:/a","proxy":"127.0.0.1:80""#, true),
        (#""proxy":"127.0.0.1:80","outbound":[{"service":"payment","address":"127.0.0.1:80"}]"#, true),
        (#""outbound":[{"service":"payment","address":"127.0.0.1:80"},{"service":"order","address":"127.0.0.1:80"}]"#, true),
        (#""outbound":[{"service":"payment","address":"127.0.0.1:0"},{"service":"order","address":"127.0.0.1:0"}],"proxy":"127.0.0.1:0""#, false),
    ])
    func shared(_ entrances: String, _ isRefused: Bool) throws {
        let found = try folder.problems(#"{"service":{"name":"order"},\#(Self.tls),"resources":[\#(Self.both)],\#(entrances)}"#)
        #expect(found == (isRefused ? ["1 127.0.0.1:80 is an address of two entrances"] : []))
    }

    @Test("Ports of raw streams are those of the own Service with protocol tcp, once each; a PROXY header needs somebody to believe")
    func streams() throws {
        func found(_ tcp: String) throws -> [String] {
            try folder.problems(
                #"""
                {"service":{"name":"db"},\#(Self.tls),"tcp":[
                \#(tcp)],"resources":[
                {"kind":"Service","name":"db","ports":[{"port":80},{"port":5432,"protocol":"tcp"}]}]}
                """#)
        }
        let one = #""address":"127.0.0.1:0","application":"127.0.0.1:5432""#
        #expect(try found(#"{"port":5432,\#(one),"proxyProtocolOut":true}"#) == [])
        #expect(try found(#"{"port":5432,\#(one),"proxyProtocolIn":true,"trustedProxies":["10.0.0.0/8"]}"#) == [])
        #expect(try found(#"{"port":5432,\#(one),"proxyProtocolIn":true}"#) == ["2 PROXY headers are believed of nobody: trustedProxies is empty"])
        #expect(try found(#"{"port":80,\#(one)}"#) == ["2 Service \"db\" has no port 80 with protocol tcp: nobody would call it"])
        #expect(try found(#"{"port":5432,\#(one)},{"port":5432,\#(one)}"#) == ["2 port 5432 stands here twice"])
    }

    @Test("An outbound port leads to a service that is there, speaks http and may be reached")
    func outbound() throws {
        func found(_ service: String, _ more: String = "") throws -> [String] {
            try folder.problems(
                #"""
                {"service":{"name":"order"},\#(Self.tls),"outbound":[
                {"service":"\#(service)","address":"127.0.0.1:0"}],"resources":[
                {"kind":"Service","name":"order","ports":[{"port":80}]\#(more)},{"kind":"Service","name":"payment","ports":[{"port":80}]},
                {"kind":"Service","name":"db","ports":[{"port":5432,"protocol":"tcp"}]}]}
                """#)
        }
        #expect(try found("payment") == [])
        #expect(try found("paymnet") == ["2 there is no service \"paymnet\" → payment"])
        #expect(try found("db") == [])
        #expect(try found("db\",\"port\":80,\"namespace\":\"default") == ["2 Service \"db\" serves no port 80"])
        #expect(try found("payment", #","reachableServices":[]"#) == ["2 Service \"payment\" is not among the reachableServices of Service \"order\""])
    }

    @Test("Whoever misspells the sidecar's own service would run without the policies of it")
    func ownService() throws {
        func found(_ name: String) throws -> [String] { try folder.problems("{\"service\":\n{\"name\":\"\(name)\"},\"resources\":[\(Self.both)]}") }
        #expect(try found("payment") == [])
        #expect(try found("paymnet") == ["2 there is no service \"paymnet\" → payment"])
    }

    @Test("An inbound port needs an application behind it, and certificates unless it says plaintext")
    func inbound() throws {
        func found(_ more: String) throws -> [String] { try folder.problems("{\"service\":{\"name\":\"order\"},\n\"inbound\":{\"address\":\"127.0.0.1:0\"\(more)}") }
        let app = #","application":"127.0.0.1:9""#
        #expect(try found(#","plaintext":true}"# + app) == [])
        #expect(try found("}" + app + "," + Self.tls) == [])
        #expect(try found("}" + app) == ["2 an inbound port without certificates could let nobody in"])
        #expect(try found(#","plaintext":true}"#) == ["2 warning: an inbound port without an application could serve nobody"])
    }

    @Test("Calls to sidecars without certificates are warned of")
    func noCertificates() throws {
        let text = #"{"service":{"name":"order"},"proxy":"127.0.0.1:0","resources":[\#(Self.both),{"kind":"Workload","name":"p","service":"payment","address":"10.0.0.1"}]"#
        #expect(try folder.problems(text + "}") == ["1 warning: without certificates no call of payment can succeed: its endpoints speak mTLS"])
        #expect(try folder.problems(text + "," + Self.tls + "}") == [])
    }

    @Test("An entrance for the application that others can reach lends them its identity", arguments: [
        #""proxy":"0.0.0.0:9000""#, #""outbound":[{"service":"payment","address":"10.1.2.3:9000"}]"#,
    ])
    func open(_ entrance: String) throws {
        let found = try folder.problems(#"{"service":{"name":"order"},\#(Self.tls),"resources":[\#(Self.both)],\#(entrance)}"#)
        #expect(found.count == 1 && found[0].hasSuffix("whoever reaches it calls as order") && found[0].contains("warning"), "\(found)")
    }

    @Test("The admin port is on loopback")
    func admin() throws {
        #expect(try folder.problems("{\"service\":{\"name\":\"order\"},\n\"admin\":\"0.0.0.0:1\"}") == ["2 the admin port must be on a loopback address"])
    }

    @Test("The trust domain is the file's unless a Mesh says one; two that differ are refused")
    func trustDomain() throws {
        func domain(_ file: String, _ mesh: String) throws -> String {
            try folder.config(#"{"service":{"name":"order"}\#(file),"resources":[\#(mesh)]}"#).snapshot.trust.trustDomain
        }
        let file = #","trustDomain":"shop.internal""#
        #expect(try domain(file, "") == "shop.internal")
        #expect(try domain("", #"{"kind":"Mesh","name":"m","trustDomain":"bank.internal"}"#) == "bank.internal")
        #expect(try domain(file, #"{"kind":"Mesh","name":"m","mtls":"permissive"}"#) == "shop.internal", "a Mesh that says nothing of it")
        #expect(try domain(file, #"{"kind":"Mesh","name":"m","trustDomain":"shop.internal"}"#) == "shop.internal")
        #expect(
            try folder.problems("{\"service\":{\"name\":\"order\"}\(file),\n\"resources\":[{\"kind\":\"Mesh\",\"name\":\"m\",\"trustDomain\":\"bank.internal\"}]}")
                == ["1 trustDomain is \"shop.internal\" here and \"bank.internal\" in Mesh \"m\""])
    }

    @Test("A version is a label")
    func version() throws {
        #expect(try folder.problems("{\"service\":{\"name\":\"order\",\n\"version\":\"V 1\"}}") == ["2 \"V 1\" is no name: a name is a DNS label → v-1"])
    }

    @Test("Files that cannot be read are named, and all problems still come at once")
    func unreadable() throws {
        let found = try folder.problems(#"{"service":{"name":"order"},"filters":"none","proxy":"x","tls":{"certificate":"a","key":"b","bundle":"gone.pem"}}"#)
        #expect(found.count == 4, "\(found)")
        #expect(found.filter { $0.contains("cannot be read") }.count == 3 && found.contains { $0.contains("gone.pem") })
        #expect(throws: LocalConfig.Refusal.self) { try folder.read("missing.json") }
    }
}
