import Pipeline
import Testing

/// Wrong texts and every problem each must give: line, message, suggestion.
@Suite("Wrong resources")
struct WrongResourcesTests {
    static let services = """
        [{"kind":"Service","name":"order","ports":[{"port":80}]},
        {"kind":"Service","name":"payment","labels":{"tier":"money"},"ports":[{"port":80}]},
        {"kind":"Service","name":"db","labels":{"tier":"data"},"ports":[{"port":5432,"protocol":"tcp"}]},

        """

    struct Case: Sendable, CustomTestStringConvertible {
        let text: String
        let expected: [String]
        var testDescription: String { text }
        init(_ text: String, _ expected: String...) {
            self.text = text
            self.expected = expected
        }
    }

    static let cases = [
        Case(#"{"name":"x"}"#, "4 a resource lacks \"kind\""),
        Case(#"{"kind":"Servce","name":"x"}"#, "4 there is no kind \"Servce\" → Service"),
        Case(#"5"#, "4 a resource is an object, not the number 5"),
        Case(#"{"kind":"Service","name":"Pay_ment","ports":[{"port":80}]}"#, "4 \"Pay_ment\" is no name: a name is a DNS label → pay-ment"),
        Case(#"{"kind":"Service","name":"x","ports":[]}"#, "4 \"ports\" is empty"),
        Case(#"{"kind":"Service","name":"x","ports":[{"port":80},{"port":80}]}"#, "4 port 80 stands here twice"),
        Case(#"{"kind":"Service","name":"x","ports":[{"port":80},{"port":81}]}"#, "4 warning: port 81 of Service \"x\" is a second one for HTTP: stored, NOT SERVED"),
        Case(
            #"{"kind":"Workload","name":"w","service":"payment","address":"10.0.0.1","sidecar":false}"#,
            "4 warning: nobody may call Workload \"w\": it has no sidecar, and mtls of Service \"payment\" is strict"),
        Case(
            #"{"kind":"AccessPolicy","name":"p","action":"allow","rules":[{"to":[{"paths":[{"exact":"/a/*"}]}]}]}"#,
            "4 \"/a/*\" is no whole path: * stands for nothing there"),
        Case(#"{"kind":"Service","name":"x","ports":[{"port":70000}]}"#, "4 \"port\" is 70000, out of bounds"),
        Case(#"{"kind":"Service","name":"x","ports":[{"port":80,"protocol":"htpp"}]}"#, "4 \"protocol\" may not be \"htpp\" → http"),
        Case(#"{"kind":"Service","name":"x","ports":[{"port":80}],"location":"external"}"#, "4 \"location\": \"external\" is not yet supported"),
        Case(#"{"kind":"Service","name":"x","ports":[{"port":80}],"hosts":["a.b"]}"#, "4 \"hosts\" is not yet supported"),
        Case(#"{"kind":"Mesh","name":"m","egress":"allow"}"#, "4 \"egress\": \"allow\" is not yet supported"),
        Case(#"{"kind":"Mesh","name":"m","trustDomain":"Shop"}"#, "4 \"Shop\" is no domain"),
        Case(#"{"kind":"Mesh","name":"m"},{"kind":"Mesh","name":"n"}"#, "4 there is one Mesh"),
        Case(#"{"kind":"Mesh","name":"m","settings":{"retyr":{"maxRetries":1}}}"#, "4 unknown stage \"retyr\" in outbound settings → retry"),
        Case(#"{"kind":"Mesh","name":"m","settings":{"compression":{}}}"#, "4 warning: no outbound chain has a stage \"compression\": nobody reads these settings"),
        Case(#"{"kind":"Mesh","name":"m","settings":{"retry":{"maxRetrys":1}}}"#, "4 unknown key \"maxRetrys\" in filter \"retry\" → maxRetries"),
        Case(#"{"kind":"Mesh","name":"m","settings":{"request-timeout":{"after":2}}}"#, "4 \"after\" takes a duration such as \"250ms\", not the number 2"),
        Case(#"{"kind":"Mesh","name":"m","settings":{"retry":3}}"#, "4 \"retry\" takes an object: { … }, not the number 3"),
        Case(#"{"kind":"Service","name":"order","ports":[{"port":80}]}"#, "4 Service \"order\" is written twice"),
        Case(#"{"kind":"Route","name":"r","service":"paymnet","rules":[{"backends":[{"weight":1}]}]}"#, "4 there is no service \"paymnet\" → payment"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"backends":[{"weight":0},{"version":"v2","weight":0}]}]}"#, "4 the weights of rule 0 add up to 0"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"backends":[{"weight":9223372036854775807}]}]}"#, "4 \"weight\" is 9223372036854775807, out of bounds"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"backends":[{"weight":1}],"fault":{}, "mirror":{}}]}"#, "4 \"fault\" is not yet supported", "4 \"mirror\" is not yet supported"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"matches":[{"path":{"exact":"/a","prefix":"/b"}}],"backends":[{}]}]}"#, "4 only one of exact and prefix may stand here"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"matches":[{"path":{}}],"backends":[{}]}]}"#, "4 one of exact or prefix belongs here"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"matches":[{"path":{"prefix":"api"}}],"backends":[{}]}]}"#, "4 a path begins with / → /api"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"matches":[{"method":"get"}],"backends":[{}]}]}"#, "4 \"get\" is no method → GET"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"backends":[{}]},{"backends":[{}]}]}"#, "4 warning: rule 0 takes every request: those below it get none"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"backends":[{"service":"ordr"}]}]}"#, "4 there is no service \"ordr\" → order"),
        Case(#"{"kind":"Route","name":"r","service":"payment","rules":[{"backends":[{}]}]},{"kind":"Route","name":"s","service":"payment","rules":[{"backends":[{}]}]}"#, "4 Service \"payment\" has a Route already"),
        Case(#"{"kind":"AccessPolicy","name":"p","target":{"service":"db"},"action":"deny","rules":[{"to":[{"paths":[{"prefix":"/"}]}]}]}"#, "4 a tcp connection has no paths"),
        Case(#"{"kind":"AccessPolicy","name":"p","target":{"labels":{"tier":"data"}},"action":"deny","rules":[{"to":[{"methods":["GET"]}]}]}"#, "4 a tcp connection has no methods"),
        Case(#"{"kind":"AccessPolicy","name":"p","target":{"service":"payment","labels":{"a":"b"}},"action":"deny","rules":[{}]}"#, "4 only one of service and labels may stand here"),
        Case(#"{"kind":"AccessPolicy","name":"p","target":{"labels":{"tier":"dtaa"}},"action":"deny","rules":[{}]}"#, "4 warning: no service carries the labels tier: dtaa"),
        Case(#"{"kind":"AccessPolicy","name":"p","action":"alow","rules":[{}]}"#, "4 \"action\" may not be \"alow\" → allow"),
        Case(#"{"kind":"AccessPolicy","name":"p","rules":[{}]}"#, "4 AccessPolicy \"p\" lacks \"action\""),
        Case(#"{"kind":"AccessPolicy","name":"p","action":"allow","rules":[{"from":[{"service":"order","external":true}]}]}"#, "4 only one of service and external may stand here"),
        Case(#"{"kind":"AccessPolicy","name":"p","action":"allow","rules":[{"from":[{}]}]}"#, "4 one of service, prefix, namespace or external belongs here"),
        Case(#"{"kind":"AccessPolicy","name":"p","action":"allow","rules":[{"from":[{"prefix":"shop"}]}]}"#, "4 an identity begins with spiffe://"),
        Case(#"{"kind":"AccessPolicy","name":"p","action":"allow","rules":[{"from":[{"external":false}]}]}"#, "4 \"external\" may only be true"),
        Case(#"{"kind":"AccessPolicy","name":"p","action":"deny","rules":[]}"#, "4 warning: AccessPolicy \"p\" denies nothing: it has no rules"),
        Case(#"{"kind":"RateLimit","name":"l","rules":[{"key":"source","rate":"100"}]}"#, "4 \"rate\" takes a rate such as \"100/s\", not the string \"100\""),
        Case(#"{"kind":"RateLimit","name":"l","rules":[{"key":"caller","rate":"1/s"}]}"#, "4 \"key\" may not be \"caller\""),
        Case(#"{"kind":"RateLimit","name":"l","rules":[{"rate":"1/s","burst":0}]}"#, "4 \"rules[0]\" of RateLimit \"l\" lacks \"key\"", "4 \"burst\" is 0, out of bounds"),
        Case(#"{"kind":"Workload","name":"w","service":"db","address":"10.0.0.1"}"#, "4 Workload \"w\" is written by hand and has a sidecar"),
        Case(#"{"kind":"Workload","name":"w","service":"db","address":"db.local","sidecar":false}"#, "4 \"db.local\" is no address"),
        Case(#"{"kind":"Workload","name":"w","service":"db","address":"::1","sidecar":false,"ports":[{"port":1}]}"#, "4 Service \"db\" has no port 1", "4 warning: nobody may call Workload \"w\": it has no sidecar, and mtls of Service \"db\" is strict"),
        Case(#"{"kind":"Service","name":"x","ports":[{"port":80}],"reachableServices":["order","ordr"]}"#, "4 there is no service \"ordr\" → order"),
        Case(#"{"kind":"Service","name":"x","ports":[{"port":1,"protocol":"tcp"}],"settings":{"retry":{"maxRetries":1},"router":{}}}"#, "4 warning: Service \"x\" speaks tcp: its connections pass by \"retry\", nobody reads these settings"),
        Case(#"{"kind":"Service","name":"x","ports":[{"port":1,"protocol":"tcp"},{"port":2}],"settings":{"retry":{"maxRetries":1}}}"#),
        Case(#"{"kind":"Route","name":"r","service":"db","rules":[{"matches":[{"path":{"prefix":"/a"}}],"backends":[{"weight":1}]},{"backends":[{"weight":1}]}]}"#, "4 no connection to port 5432 of Service \"db\" matches this rule: tcp has no path, method or headers"),
        Case(#"{"kind":"RateLimit","name":"l","target":{"service":"db"},"rules":[{"key":"total","rate":"1/s"},{"matches":[{"method":"GET"}],"key":"total","rate":"1/s"}]}"#, "4 a tcp connection has no path, method or headers: this limit never counts one"),
    ]

    @Test("gives exactly the problems it should, on the right line", arguments: cases)
    func wrong(_ item: Case) {
        let found = problems(Self.services + item.text + "]")
        #expect(Set(found) == Set(item.expected))
        #expect(found.count == item.expected.count)
    }

    static let chains = [
        Case(#"["router","tls"]"#, "warning: without stats nothing is counted for these sidecars"),
        Case(#"["stats","retry","tls"]"#, "a chain needs a router: without one no request leaves it"),
        Case(#"["stats","router"]"#, "this chain drops tls, and the mesh's mtls is strict"),
        Case(#"["tls","stats","router"]"#, "tls comes last in an outbound chain"),
        Case(#"["stats","router","retry","tls"]"#, "\"retry\" stands below the router, where no request comes by"),
        Case(#"["stats","router","router","tls"]"#, "two stages have the id \"router\"", "a chain has one router"),
        Case(#"["stats","timeout","timeout","router","tls"]"#, "two stages have the id \"timeout\""),
        Case(#"["stats","retyr","router","tls"]"#, "no sidecar has a filter \"retyr\" → retry"),
        Case(#"["stats",{"filter":"timeout","config":{"afetr":"1s"}},"router","tls"]"#, "unknown key \"afetr\" in filter \"timeout\" → after"),
        Case(#"["stats",{"filter":"timeout","nmae":"x"},"router","tls"]"#, "unknown key \"nmae\" in \"stages[1]\" of Chain \"c\" → name"),
        Case(#"["stats","tenant-gate","router","tls"]"#, "stage \"tenant-gate\" lacks \"allow\""),
        Case(#"["stats",{"filter":"tenant-gate","config":{"allow":["a"]}},"router","tls"]"#),
        Case(#"["retry","stats","router","tls"]"#, "warning: stats below retry counts attempts, not what the caller saw"),
        Case(#"["stats","breaker","retry","router","tls"]"#),
        Case(#"["stats","retry",{"filter":"timeout","name":"attempt"},"router","tls"]"#, "warning: timeout below retry limits each attempt; nothing limits all of them together"),
        Case(#"["stats",5,"router","tls"]"#, "\"stages[1]\" takes a string, or an object: { … }, not the number 5"),
        Case("[]", "\"stages\" is empty"),
    ]

    @Test("An outbound chain is judged by the rules of position", arguments: chains)
    func chain(_ item: Case) {
        let text = Self.services + #"{"kind":"Mesh","name":"m"},{"kind":"Chain","name":"c","direction":"outbound","stages":"# + "\n" + item.text + "}]"
        let line = item.text == "[]" ? 5 : 5
        #expect(Set(problems(text)) == Set(item.expected.map { "\(line) \($0)" }))
    }

    static let inbound = [
        Case(#"["tls","stats","authz","ratelimit","router"]"#),
        Case(#"["stats","tls","authz","router"]"#, "tls comes first in an inbound chain"),
        Case(#"["tls","stats","router"]"#, "this chain drops authz, and AccessPolicy \"p\" protects Service \"payment\""),
        Case(#"["tls","stats","ratelimit","authz","router"]"#, "warning: ratelimit above authz lets refused calls use up tokens"),
        Case(#"["tls","stats","authz","retry","router"]"#, "warning: retry in an inbound chain repeats calls to the application beside it"),
    ]

    @Test("An inbound chain keeps what protects its services", arguments: inbound)
    func inboundChain(_ item: Case) {
        let text = Self.services + #"{"kind":"AccessPolicy","name":"p","target":{"service":"payment"},"action":"allow","rules":[{}]},"# + "\n"
            + #"{"kind":"Chain","name":"c","direction":"inbound","target":{"labels":{"tier":"money"}},"stages":"# + item.text + "}]"
        #expect(Set(problems(text)) == Set(item.expected.map { "5 \($0)" }))
    }
}
