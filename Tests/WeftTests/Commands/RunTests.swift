import Host
import Pipeline
import Synchronization
import Testing

@testable import Weft

/// Runs commands in this process and keeps what they say.
final class Transcript: Sendable {
    private let texts = Mutex((out: "", err: ""))
    var out: String { texts.withLock { $0.out } }
    var err: String { texts.withLock { $0.err } }

    func run(_ words: String..., environment: [String: String] = [:]) -> ExitCode {
        let console = Console(
            style: Style(isOn: false), errorStyle: Style(isOn: false), isLive: false,
            out: { text in self.texts.withLock { $0.out += text } }, err: { text in self.texts.withLock { $0.err += text } })
        return Weft.run(words, console: console, environment: { environment[$0] })
    }
}

/// A folder that goes with the test.
final class ScratchFolder {
    let path: String
    init() throws {
        path = "/tmp/weft-test-\(Entropy.word())"
        try Files.makeFolder(path)
    }
    func write(_ text: String, _ name: String) throws -> String {
        let file = path + "/" + name
        if let slash = file.lastIndex(of: "/") { try Files.makeFolder(String(file[..<slash])) }
        try Files.write(Array(text.utf8), to: file)
        return file
    }
    deinit { DemoMesh.remove(path) }
}

@Suite("Commands without a mesh")
struct RunTests {
    @Test("Exit codes: 0 done, 2 usage, 3 nobody there, 78 invalid config")
    func codes() throws {
        let folder = try ScratchFolder()
        let bad = try folder.write("{\"kind\":\"Mesch\"}", "bad.json")
        #expect(Transcript().run("version") == .ok)
        #expect(Transcript().run("--version") == .ok)
        #expect(Transcript().run("--help") == .ok)
        #expect(Transcript().run() == .usage)
        #expect(Transcript().run("versoin") == .usage)
        #expect(Transcript().run("ps", "--control-plane", "unix:\(folder.path)/nobody.sock") == .unreachable)
        #expect(Transcript().run("ps", environment: ["WEFT_CONTROL_PLANE": "unix:\(folder.path)/nobody.sock"]) == .unreachable)
        #expect(Transcript().run("config", "check", bad) == .configuration)
    }

    @Test("The first word of several commands and --help is help about each of them", arguments: Set(CommandTable.all.filter { $0.words.count > 1 }.map(\.words[0])))
    func groupHelp(word: String) {
        let asked = Transcript()
        let helped = Transcript()
        #expect(asked.run(word, "--help") == .ok)
        #expect(helped.run("help", word) == .ok)
        #expect(!asked.out.isEmpty && asked.out == helped.out && asked.err.isEmpty)
    }

    @Test("Data goes to standard output, trouble to standard error")
    func streams() {
        let good = Transcript()
        _ = good.run("version")
        #expect(good.out == "weft \(WeftVersion.text)\n")
        #expect(good.err.isEmpty)
        let bad = Transcript()
        _ = bad.run("stat", "--widnow", "3s")
        #expect(bad.out.isEmpty)
        #expect(bad.err == "error: weft stat has no flag --widnow\n  = did you mean --window?\n")
    }

    @Test("config check shows every problem where it stands, and counts them")
    func problems() throws {
        let folder = try ScratchFolder()
        let file = try folder.write("[\n{\"kind\":\"Mesch\",\"name\":\"m\"},\n{\"kind\":\"Service\",\"nmae\":\"s\"}\n]\n", "mesh.json")
        let transcript = Transcript()
        #expect(transcript.run("config", "check", file) == .configuration)
        #expect(transcript.err.contains("--> \(file):2:9"))
        #expect(transcript.err.contains("^^^^^^^ did you mean \"Mesh\"?"))
        #expect(transcript.err.contains("--> \(file):3:"))
        let json = Transcript()
        #expect(json.run("config", "check", file, "-o", "json") == .configuration)
        let root = try #require(ConfigReader.read(json.out, name: "out").root)
        #expect(root["errors"]?.integer == Int64(root.items("problems").count))
        #expect(root.items("problems").first?["line"]?.integer == 2)
    }

    @Test("config check takes a filters.d folder for a chain, and a stage file for its folder's")
    func filtersFolder() throws {
        let folder = try ScratchFolder()
        let router = try folder.write("{}", "filters.d/outbound/50-router.json")
        _ = try folder.write("{}", "filters.d/outbound/60-tls.json")
        #expect(Transcript().run("config", "check", folder.path + "/filters.d") == .ok)
        #expect(Transcript().run("config", "check", router) == .ok)
        _ = try folder.write("{\"config\":{\"maxRetires\":3}}", "filters.d/outbound/30-retry.json")
        let transcript = Transcript()
        #expect(transcript.run("config", "check", folder.path + "/filters.d") == .configuration)
        #expect(transcript.err.contains("did you mean \"maxRetries\"?"))
        #expect(Transcript().run("config", "check", folder.path + "/filters.d/outbound") == .configuration)
    }

    @Test("config check tells a sidecar's config from resources, whichever key is misspelt")
    func sidecarConfig() throws {
        let folder = try ScratchFolder()
        let good = try folder.write("{\"service\":{\"name\":\"payment\"},\"application\":\"127.0.0.1:8080\",\"proxy\":\"127.0.0.1:0\"}", "sidecar.json")
        #expect(Transcript().run("config", "check", good) == .ok)
        let typo = try folder.write("{\"service\":{\"name\":\"payment\"},\"aplication\":\"127.0.0.1:8080\"}", "typo.json")
        let transcript = Transcript()
        #expect(transcript.run("config", "check", typo) == .configuration)
        #expect(transcript.err.contains("did you mean \"application\"?"))
        let resource = try folder.write("{\"knd\":\"Service\",\"name\":\"payment\"}", "resource.json")
        let other = Transcript()
        #expect(other.run("config", "check", resource) == .configuration)
        #expect(other.err.contains("did you mean \"kind\"?"))
    }

    @Test("filters describe knows every standard filter and suggests near misses")
    func filters() {
        for filter in FilterRegistry(StandardFilters.all).filters {
            let transcript = Transcript()
            #expect(transcript.run("filters", "describe", filter.name) == .ok)
            for field in filter.fields { #expect(transcript.out.contains(field.key)) }
            let schema = Transcript()
            #expect(schema.run("filters", "describe", filter.name, "-o", "schema") == .ok)
            #expect(ConfigReader.read(schema.out, name: "schema").problems.isEmpty)
        }
        let typo = Transcript()
        #expect(typo.run("filters", "describe", "rety") == .usage)
        #expect(typo.err.contains("did you mean retry?"))
    }

    @Test("Kinds may be written in any case and in the plural")
    func kinds() throws {
        for (word, kind) in [("service", ResourceKind.service), ("Services", .service), ("mesh", .mesh), ("meshes", .mesh), ("accesspolicies", .accessPolicy), ("ROUTES", .route)] {
            #expect(try GetCommand.kind(word) == kind)
        }
        #expect(throws: CommandFailure.self) { try GetCommand.kind("pods") }
    }

    @Test("A time stamp is read to the second", arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2000-02-29T12:00:00Z", 951_825_600), ("2026-11-23T00:00:00.123Z", 1_795_392_000), ("2038-01-19T03:14:08Z", 2_147_483_648),
        ("yesterday", nil), ("2026-13-01T00:00:00Z", nil), ("", nil),
    ] as [(String, Int64?)])
    func timestamps(text: String, seconds: Int64?) { #expect(Timestamp.seconds(text) == seconds) }
}
