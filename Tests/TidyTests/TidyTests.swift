import Testing

@Suite("The house is in order")
struct TidyTests {
    private static let sources = Repository.files("Sources", ".swift")
    private static let allSwift = sources + Repository.files("Tests", ".swift") + Repository.files("filters.d", ".swift")

    @Test("The repository is read at all")
    func sanity() {
        #expect(Self.sources.count > 100)
        #expect(Repository.folders("Sources").contains("Pipeline"))
        #expect(Self.sources.contains { $0.path == "Sources/Weft/StandardFilters.swift" })
    }

    // MARK: What may be used where

    /// Who may import whom, of our own targets and of what lies outside. `Testing` and our test helpers are for Tests alone.
    private static let mayImport: [String: Set<String>] = [
        "Pipeline": ["Synchronization"],
        "Filters": ["Pipeline"],
        "Host": ["Pipeline", "COpenSSL", "CZstd", "CPlatform", "Glibc", "FoundationEssentials", "Synchronization"],
        "ControlPlane": ["Host", "Pipeline", "COpenSSL", "CZstd", "CPlatform", "Glibc", "FoundationEssentials", "Synchronization"],
        "Weft": ["ControlPlane", "Host", "Filters", "Pipeline", "CPlatform", "Glibc", "FoundationEssentials", "Synchronization"],
        "weft-main": ["Weft"],
    ]

    @Test("Dependencies run one way: Weft → ControlPlane → Host → Pipeline, Weft → Filters → Pipeline")
    func imports() {
        for file in Self.sources {
            guard let allowed = Self.mayImport[file.target] else {
                Issue.record("\(file.path) lies in a target that this test does not know")
                continue
            }
            let wrong = file.places { line in imported(line).map { !allowed.contains($0) } ?? false }
            #expect(wrong.isEmpty, "imports what \(file.target) may not")
        }
    }

    /// The module of an import line, attributes, access and kind (`import struct X.Y`) aside.
    private func imported(_ line: Substring) -> String? {
        let words = line.split(whereSeparator: { $0 == " " || $0 == "." })
        guard let at = words.firstIndex(of: "import"), words[..<at].allSatisfy({ $0.hasPrefix("@") || ["public", "package", "internal", "private"].contains($0) })
        else { return nil }
        let kinds = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
        return words[(at + 1)...].first { !kinds.contains(String($0)) }.map(String.init)
    }

    @Test("Pipeline and Filters read no clock and draw no chance of their own")
    func purity() {
        let forbidden = ["ContinuousClock", "SuspendingClock", "SystemRandomNumberGenerator", "DispatchTime", ".shuffled()", ".randomElement()", "Task.sleep", "print("]
        for file in Self.sources where ["Pipeline", "Filters"].contains(file.target) {
            for word in forbidden { #expect(file.places { $0.contains(word) }.isEmpty, "\(word) is not for pure code") }
            let unseeded = file.places { line in [".random(in:", ".shuffle()"].contains { line.contains($0) } && !line.contains("using:") }
            #expect(unseeded.isEmpty, "chance comes in as an argument")
        }
    }

    @Test("Nothing in Sources forces a try, and nothing is left for later")
    func finished() {
        // Put together, so that this file does not break its own rule.
        let marks = ["TO" + "DO", "FIX" + "ME", "HA" + "CK", "not " + "implemented"]
        for file in Self.sources + Repository.files("filters.d", ".swift") + Repository.files("Sources", ".c") + Repository.files("Sources", ".h") {
            for mark in marks { #expect(file.places(inComments: true) { $0.contains(mark) }.isEmpty, "\(mark)") }
            #expect(file.places { $0.contains("try!") }.isEmpty, "a failure is handled or declared")
        }
    }

    // MARK: Shape

    @Test("No file is longer than 600 lines")
    func length() {
        for file in Self.allSwift {
            #expect(file.lines.count <= 601, "\(file.path) has \(file.lines.count) lines: one concept per file")
        }
    }

    @Test("Every folder of a target is a row of its README", arguments: ["Pipeline", "Host", "ControlPlane", "Filters", "Weft"])
    func rows(target: String) throws {
        let readme = try #require(Repository.text("Sources/\(target)/README.md"))
        for folder in Repository.folders("Sources/\(target)") {
            let isNamed = readme.contains("| `\(folder)` |")
            #expect(isNamed, "Sources/\(target)/README.md has no row for \(folder)")
        }
        for line in readme.split(separator: "\n") where line.hasPrefix("| `") {
            guard let name = line.dropFirst(3).split(separator: "`").first, !name.hasSuffix(".swift") else { continue }
            #expect(Repository.isFolder("Sources/\(target)/\(name)"), "Sources/\(target)/README.md has a row for \(name), which is gone")
        }
    }

    @Test("Every filter has a README, tests of its own, and a line in the list")
    func filters() throws {
        let list = try #require(Repository.text("Sources/Weft/StandardFilters.swift"))
        let standard = ["TLS", "Authz", "RateLimit", "Retry", "Timeout", "Breaker", "Router", "Stats"]
        // Folders that filters share are no filters: they have no README of their own.
        let folders = Repository.folders("Sources/Filters").filter { Repository.text("Sources/Filters/\($0)/README.md") != nil }
        #expect(Set(standard).isSubset(of: folders))
        for folder in folders {
            let isListed = list.contains("\(folder).self")
            #expect(isListed, "\(folder) is not in StandardFilters.swift")
            #expect(!Repository.files("Tests/FiltersTests/\(folder)", ".swift").isEmpty, "\(folder) has no tests")
        }
        for folder in Repository.folders("Sources/Filters") where !folders.contains(folder) {
            let declares = Repository.files("Sources/Filters/\(folder)", ".swift").flatMap { $0.places { $0.contains("static let name: FilterName") } }
            #expect(declares.isEmpty, "a filter without a README")
        }
    }

    @Test("Tests mirror the folders of the target they test", arguments: ["Pipeline", "Filters", "Host", "ControlPlane", "Weft"])
    func mirror(target: String) {
        // What filters do together, and the one in filters.d, has no folder among theirs.
        let known = Set(Repository.folders("Sources/\(target)") + (target == "Filters" ? ["Faults", "Order", "Readme", "TenantGate"] : []))
        for folder in Repository.folders("Tests/\(target)Tests") where !known.contains(folder) {
            Issue.record("Tests/\(target)Tests/\(folder) tests no folder of that name")
        }
    }

    // MARK: Hygiene

    @Test("Nothing names a path of the machine it was written on")
    func machinePaths() {
        let roots = ["/ho" + "me/", "/ro" + "ot/", "/Us" + "ers/", "/wo" + "rk/", "/tmp/we" + "ft/"]
        let texts = Self.allSwift + Repository.files("", ".md") + Repository.files("", "Makefile") + Repository.files(".ci", "run") + Repository.files("", ".json")
        for file in texts {
            for root in roots { #expect(file.places(inComments: true) { $0.contains(root) }.isEmpty, "\(root)") }
        }
    }

    @Test("No file is without a final line break, and none has tabs or spaces at the end of a line")
    func whitespace() {
        for file in Self.allSwift {
            #expect(file.lines.last == "", "\(file.path) lacks its last line break")
            #expect(file.places(inComments: true) { $0.hasSuffix(" ") || $0.hasSuffix("\t") }.isEmpty, "trailing space")
        }
    }
}
