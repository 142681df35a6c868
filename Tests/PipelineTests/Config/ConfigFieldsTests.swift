import Pipeline
import Testing

private struct Gate: FilterConfig {
    let header: HeaderName
    let allow: WordSet
    init(_ fields: inout ConfigFields) {
        header = fields.read("header", default: "x-tenant", "Request header that names the tenant.")
        allow = fields.read("allow", "Tenants that may pass.", .nonEmpty)
    }
}

private struct Backoff: ConfigRecord {
    let base: Nanoseconds
    let max: Nanoseconds
    init(_ fields: inout ConfigFields) {
        base = fields.read("base", default: .milliseconds(25), "Upper bound of the first wait.", .positive)
        max = fields.read("max", default: .milliseconds(250), "No wait is longer.", .positive)
    }
}

private enum Condition: String, CaseIterable, ConfigValue { case connectFailure = "connect-failure", refused, reset }

private struct Retry: FilterConfig {
    let maxRetries: Int
    let perTryTimeout: Nanoseconds?
    let retryOn: [Condition]
    let statuses: StatusSet
    let backoff: Backoff
    let budget: Percentage
    let body: ByteCount
    let rate: Rate
    let labels: [String: String]
    init(_ fields: inout ConfigFields) {
        maxRetries = fields.read("maxRetries", default: 2, "Tries after the first.", .in(0...10))
        perTryTimeout = fields.read("perTryTimeout", "Limit of one try.", .atMost(.seconds(60)))
        retryOn = fields.read("retryOn", default: [.connectFailure], "What to try again.")
        statuses = fields.read("statuses", default: [503], "Statuses to try again.")
        backoff = fields.read("backoff", "How long to wait.")
        budget = fields.read("budget", default: .percent(20), "Share of requests that may be retries.")
        body = fields.read("body", default: .kibibytes(64), "Body kept for another try.", .atMost(.mebibytes(1)))
        rate = fields.read("rate", default: Rate(10), "Retries always allowed.")
        labels = fields.read("labels", default: [:], "Names.")
    }
}

private func node(_ text: String, _ name: String = "a.json") -> ConfigNode {
    let result = ConfigReader.read(text, name: name)
    #expect(result.problems.isEmpty)
    return result.root ?? ConfigReader.read("{}", name: name).root!
}

@Suite("Config fields")
struct ConfigFieldsTests {
    @Test("A filter's config reads what is there and takes defaults for the rest")
    func reads() throws {
        let gate = try #require(Gate.decode(node(#"{"allow": ["acme", "umbra"]}"#), subject: "filter \"tenant-gate\"").value)
        #expect(gate.header == "x-tenant")
        #expect(gate.allow.contains("acme") && gate.allow.contains(Bytes("umbra")) && !gate.allow.contains("acm"))
    }

    @Test("A missing key, an unknown key and a wrong type are all reported at once, each in its place")
    func problems() {
        let result = Gate.decode(node("{\n  \"headr\": \"x\",\n  \"header\": 5\n}"), subject: "filter \"tenant-gate\"", path: "tenant-gate")
        #expect(result.value == nil)
        #expect(result.problems.map(\.line) == [1, 2, 3])
        #expect(result.problems.map(\.path) == ["tenant-gate.allow", "tenant-gate.headr", "tenant-gate.header"])
        #expect(result.problems[0].message == "filter \"tenant-gate\" lacks \"allow\"")
        #expect(result.problems[2].message == "\"header\" takes the name of a header such as \"x-tenant\", not the number 5")
    }

    @Test("A problem is shown with excerpt, caret and suggestion")
    func rendering() {
        let text = "{\n  \"maxRetries\": 3,\n  \"perTryTimeOut\": \"1s\",\n}\n"
        let result = Retry.decode(node(text, "30-retry.json"), subject: "filter \"retry\"", path: "retry")
        #expect(
            result.problems.first?.rendered() == """
                error: unknown key "perTryTimeOut" in filter "retry"
                  --> 30-retry.json:3:3   (retry.perTryTimeOut)
                   |
                 2 |   "maxRetries": 3,
                 3 |   "perTryTimeOut": "1s",
                   |   ^^^^^^^^^^^^^^^ did you mean "perTryTimeout"?
                   = keys here: maxRetries, perTryTimeout, retryOn, statuses, backoff, budget, body, rate, labels

                """)
    }

    @Test("Layers merge field by field, nested records too, lists replace, and every value knows its layer and line")
    func layers() throws {
        let mesh = node("{\"maxRetries\": 3,\n \"backoff\": {\"base\": \"10ms\", \"max\": \"1s\"}, \"retryOn\": [\"reset\"]}", "mesh.json")
        let service = node("{\"backoff\": {\n\"max\": \"2s\"}, \"retryOn\": [\"refused\"], \"perTryTimeout\": \"1.5s\"}", "service.json")
        let result = Retry.decode(
            [ConfigLayer(label: "Mesh shop", node: mesh), ConfigLayer(label: "Service payment", node: service)], subject: "filter \"retry\"")
        let retry = try #require(result.value)
        #expect(retry.maxRetries == 3)
        #expect(retry.backoff.base == .milliseconds(10) && retry.backoff.max == .seconds(2))
        #expect(retry.retryOn == [.refused])
        #expect(retry.perTryTimeout == .milliseconds(1500))
        let origins = Dictionary(uniqueKeysWithValues: result.origins.map { ($0.key, "\($0.value) \($0.label) \($0.file ?? "-"):\($0.line ?? 0)") })
        #expect(origins["maxRetries"] == "3 Mesh shop mesh.json:1")
        #expect(origins["backoff.base"] == "\"10ms\" Mesh shop mesh.json:2")
        #expect(origins["backoff.max"] == "\"2s\" Service payment service.json:2")
        #expect(origins["budget"] == "\"20%\" default -:0")
    }

    @Test("Bounds, choices, units and statuses are held to, and the message says what is accepted")
    func bounds() {
        let wrong: [(String, String)] = [
            (#"{"maxRetries": 11}"#, "\"maxRetries\" is 11, out of bounds"),
            (#"{"perTryTimeout": "2m"}"#, "\"perTryTimeout\" is \"2m\", out of bounds"),
            (#"{"perTryTimeout": 5}"#, "\"perTryTimeout\" takes a duration such as \"250ms\", not the number 5"),
            (#"{"retryOn": ["resett"]}"#, "\"retryOn[0]\" may not be \"resett\""),
            (#"{"statuses": [600]}"#, "the number 600 is no HTTP status"),
            (#"{"backoff": {"base": "0s"}}"#, "\"base\" is \"0s\", out of bounds"),
            (#"{"budget": "120%"}"#, "\"budget\" takes a percentage such as \"20%\", not the string \"120%\""),
            (#"{"body": "64kb"}"#, "\"body\" takes a size such as \"64KiB\", not the string \"64kb\""),
            (#"{"rate": "10"}"#, "\"rate\" takes a rate such as \"100/s\", not the string \"10\""),
            (#"{"maxRetries": 1.5}"#, "\"maxRetries\" takes an integer, not the number 1.5"),
            (#"{"labels": {"a": 1}}"#, "\"a\" takes a string, not the number 1"),
            (#"{"backoff": {"bse": "1s"}}"#, "unknown key \"bse\" in \"backoff\" of filter \"retry\""),
            (#"{"base": "1s"}"#, "unknown key \"base\" in filter \"retry\""),
        ]
        for (text, message) in wrong {
            let result = Retry.decode(node(text), subject: "filter \"retry\"", path: "retry")
            #expect(result.value == nil)
            #expect(result.problems.map(\.message) == [message])
        }
        #expect(Retry.decode(node(#"{"retryOn": ["resett"]}"#), subject: "").problems.first?.suggestion == "reset")
        #expect(Retry.decode(node(#"{"body": "64kb"}"#), subject: "").problems.first?.suggestion == "64KiB")
    }

    @Test("One declaration gives a table and a JSON Schema")
    func docs() throws {
        let schema = FilterSchema(name: "tenant-gate", summary: "Admits listed tenants.", of: Gate.self)
        #expect(
            schema.markdown == """
                | Key | Type | Default | Meaning |
                |---|---|---|---|
                | `header` | header name | `"x-tenant"` | Request header that names the tenant. |
                | `allow` | list of string | required | Tenants that may pass. (not empty) |

                """)
        let json = try #require(ConfigReader.read(schema.jsonSchema(), name: "schema").root)
        #expect(json["properties"]?["allow"]?["minItems"]?.integer == 1)
        #expect(json["required"]?.elements?.map(\.string) == ["allow"])
        #expect(json["additionalProperties"]?.bool == false)
        #expect(FilterSchema(name: "retry", of: Retry.self).rows.map(\.key).contains("backoff.base"))
    }
}
