import Testing

@testable import Weft

@Suite("Tables and figures")
struct TableTests {
    @Test("Columns align, nothing trails, empty cells are hyphens")
    func alignment() {
        var table = Table([.left("SRC"), .right("RPS"), .left("NOTE")])
        table.add(["analytics", "2", "denied"])
        table.add(["order", "1,250", ""])
        #expect(table.rendered(Style(isOn: false)) == """
            SRC          RPS  NOTE
            analytics      2  denied
            order      1,250  -

            """)
    }

    @Test("Colour changes no width, and is absent when off")
    func colour() {
        var table = Table([.left("A"), .left("B")])
        table.add([Table.Cell("x", .bad), Table.Cell("yy", .good)])
        table.remark("why", .bad)
        let plain = table.rendered(Style(isOn: false)), coloured = table.rendered(Style(isOn: true))
        #expect(!plain.contains("\u{1B}"))
        #expect(coloured.contains("\u{1B}[1;31mx\u{1B}[0m"))
        var stripped = ""
        var isCode = false
        for character in coloured {
            if character == "\u{1B}" { isCode = true }
            if !isCode { stripped.append(character) }
            if isCode, character == "m" { isCode = false }
        }
        #expect(stripped == plain)
    }

    @Test("Text of others cannot drive the terminal")
    func escape() {
        var table = Table([.left("A")])
        table.add([Table.Cell("a\u{1B}[2Jb\n\u{202E}")])
        #expect(table.rendered(Style(isOn: false)) == "A\na\u{FFFD}[2Jb\u{FFFD}\u{FFFD}\n")
    }

    @Test("NO_COLOR wins over CLICOLOR_FORCE, that over TERM=dumb and over pipes", arguments: [
        ([:], true, true), ([:], false, false), (["TERM": "dumb"], true, false), (["CLICOLOR_FORCE": "1"], false, true),
        (["CLICOLOR_FORCE": "1", "TERM": "dumb"], false, true), (["CLICOLOR_FORCE": "0"], false, false), (["NO_COLOR": "1"], true, false),
        (["NO_COLOR": "1", "CLICOLOR_FORCE": "1"], true, false), (["NO_COLOR": ""], true, true),
    ] as [([String: String], Bool, Bool)])
    func styles(environment: [String: String], isTerminal: Bool, isOn: Bool) {
        #expect(Style(isTerminal: isTerminal, environment: { environment[$0] }).isOn == isOn)
    }

    @Test("Figures read as people write them")
    func figures() {
        #expect([nil, 0, 0.00042, 0.0012, 0.012, 0.9994, 1.5, 12.3, .nan].map(Figures.latency) == ["-", "0.00ms", "0.42ms", "1.2ms", "12ms", "999ms", "1.50s", "12.3s", "-"])
        #expect([nil, 0, 1, 0.99999, 0.00001, 0.9825].map(Figures.share) == ["-", "0.00%", "100.00%", "99.99%", "0.01%", "98.25%"])
        #expect([0, 999, 1_000, 1_234_567, -1_234].map(Figures.count) == ["0", "999", "1,000", "1,234,567", "-1,234"])
        #expect([0, 119.9, 120, 7_199, 7_200, 200_000].map(Figures.age) == ["0s", "119s", "2m", "119m", "2h", "2d"])
        #expect(Figures.fixed(-0.001, 2) == "0.00")
        #expect(Figures.fixed(1.005, 0) == "1")
        #expect(Figures.rate(.infinity) == "-")
    }
}
