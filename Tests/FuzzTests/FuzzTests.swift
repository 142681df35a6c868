import FoundationEssentials
import FuzzOracles
import Testing

/// Every kept input, through the same properties that `make fuzz` looks for counterexamples to.
@Suite("Whatever comes")
struct FuzzTests {
    private static let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")

    private static func inputs(_ kind: String, _ target: String) -> [(name: String, bytes: [UInt8])] {
        let path = "\(folder)/\(kind)/\(target)"
        return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted().compactMap { name in
            FileManager.default.contents(atPath: "\(path)/\(name)").map { (name, [UInt8]($0)) }
        }
    }

    @Test("What fuzzing started from, and what it once found, keeps every property", arguments: FuzzTarget.all.map(\.name))
    func kept(name: String) throws {
        let target = try #require(FuzzTarget.all.first { $0.name == name })
        let seeds = Self.inputs("Corpus", name)
        #expect(seeds.count >= 5, "a corpus that reaches something")
        for input in seeds + Self.inputs("Findings", name) {
            #expect(throws: Never.self, "\(name)/\(input.name)") { try input.bytes.withUnsafeBytes(target.check) }
        }
    }

    @Test("Seeds damaged at any byte keep every property", arguments: FuzzTarget.all.map(\.name))
    func damaged(name: String) throws {
        let target = try #require(FuzzTarget.all.first { $0.name == name })
        for input in Self.inputs("Corpus", name) where input.bytes.count < 400 {
            for position in input.bytes.indices {
                for replacement: UInt8 in [0, 0x0A, 0x22, 0x80] {
                    var bytes = input.bytes
                    bytes[position] = replacement
                    #expect(throws: Never.self, "\(name)/\(input.name), byte \(position) is \(replacement)") { try bytes.withUnsafeBytes(target.check) }
                }
                #expect(throws: Never.self, "\(name)/\(input.name), cut at \(position)") {
                    try input.bytes[..<position].withUnsafeBytes(target.check)
                }
            }
        }
    }

    @Test("Every folder of inputs belongs to a target")
    func folders() throws {
        for kind in ["Corpus", "Findings"] {
            for name in try FileManager.default.contentsOfDirectory(atPath: "\(Self.folder)/\(kind)") where name != "README.md" {
                #expect(FuzzTarget.all.contains { $0.name == name }, "\(kind)/\(name)")
            }
        }
    }
}

/// The properties can be broken: oracles that see nothing would pass everything.
@Suite("What fuzzing looks for")
struct OracleTests {
    @Test("A naive reader finds where chunks end, and refuses what two servers read differently")
    func chunks() throws {
        #expect(try NaiveHTTP.chunks(Array("3\r\nabc\r\n0\r\n\r\nx".utf8)[...]).end == 13)
        #expect(try NaiveHTTP.chunks(Array("3\r\nab".utf8)[...]).end == nil)
        for text in ["3\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n", "3 \r\nabc\r\n", "2\r\nabc\r\n0\r\n\r\n", "ffffffffffffffff\r\n"] {
            #expect(throws: NaiveHTTP.Malformed.self, "\(text)") { try NaiveHTTP.chunks(Array(text.utf8)[...]) }
        }
    }

    @Test("A naive reader takes one framing, never two")
    func framing() throws {
        let good = try NaiveHTTP.request(Array("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET".utf8)[...])
        #expect(good.framing == .length(2) && good.body == Array("ab".utf8) && good.end == 40)
        for lines in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: +1\r\n",
            "Transfer-Encoding: gzip\r\n", "Content-Length : 1\r\n", "A: b\n", " a: b\r\n",
        ] {
            #expect(throws: NaiveHTTP.Malformed.self, "\(lines)") { try NaiveHTTP.request(Array("POST / HTTP/1.1\r\n\(lines)\r\na".utf8)[...]) }
        }
    }

    @Test("A naive reader knows JSON from what resembles it")
    func json() {
        for text in ["{}", " [1, -0.5e+3, \"\\u00e9\"] ", "null", "{\"a\":{\"b\":[]}}"] { #expect(NaiveJSON(Array(text.utf8)) != nil, "\(text)") }
        for text in ["", "{", "[1,]", "{a:1}", "01", "+1", "1.", "'a'", "\"\\x\"", "nul", "[] []", "\"\n\"", "/**/1"] {
            #expect(NaiveJSON(Array(text.utf8)) == nil, "\(text)")
        }
    }
}
