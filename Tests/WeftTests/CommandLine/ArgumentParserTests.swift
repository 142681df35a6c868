import Testing

@testable import Weft

@Suite("Command lines")
struct ArgumentParserTests {
    private static let command = Command(
        "fetch", "get it", operands: "NAME", count: 0...2,
        flags: [
            Flag("output", .choice(["table", "json"]), letter: "o", default: "table", ""),
            Flag("wait", .toggle, letter: "w", ""),
            Flag("timeout", .duration, default: "30s", environment: "FETCH_TIMEOUT", ""),
            Flag("uses", .count(1...10), ""), Flag("at", .address, ""), Flag("file", .text("FILE"), letter: "f", repeatable: true, ""),
        ],
        run: { _ in .ok })
    private static let needy = Command(
        "needy", "", operands: "FILE", count: 1...1, flags: [Flag("service", .text("NAME"), required: true, "")], run: { _ in .ok })
    private static let commands = [
        command, needy, Command("token create", "", run: { _ in .ok }), Command("token list", "", run: { _ in .ok }),
        Command("secret", "", isHidden: true, run: { _ in .ok }),
    ]

    private func parse(_ words: String..., environment: [String: String] = [:]) throws(CommandFailure) -> ArgumentParser.Result {
        try ArgumentParser(Self.commands, environment: { environment[$0] }).parse(words)
    }

    /// The hint of a usage error; nil if the words were understood.
    private func hint(_ words: String...) -> String? {
        do {
            _ = try ArgumentParser(Self.commands, environment: { _ in nil }).parse(words)
            return nil
        } catch {
            guard case .usage(let text, let hint) = error else { return nil }
            return hint ?? text
        }
    }

    @Test("Every spelling of a flag gives the same value", arguments: [["--output", "json"], ["--output=json"], ["-o", "json"], ["-ojson"], ["-o=json"]])
    func spellings(words: [String]) throws {
        let result = try ArgumentParser(Self.commands, environment: { _ in nil }).parse(["fetch"] + words + ["name"])
        #expect(result.values["output"] == ["json"])
        #expect(result.operands == ["name"])
    }

    @Test("Flags may stand behind operands, and after -- nothing is a flag")
    func order() throws {
        let result = try parse("fetch", "a", "-w", "--", "--output")
        #expect(result.values["wait"] != nil)
        #expect(result.operands == ["a", "--output"])
    }

    @Test("A lone hyphen is an operand or a value, never a flag")
    func hyphen() throws {
        #expect(try parse("fetch", "-").operands == ["-"])
        #expect(try parse("fetch", "-f", "-", "-f", "x").values["file"] == ["-", "x"])
    }

    @Test("The command line wins over the environment, which wins over the default")
    func precedence() throws {
        #expect(try parse("fetch").values["timeout"] == ["30s"])
        #expect(try parse("fetch", environment: ["FETCH_TIMEOUT": "5s"]).values["timeout"] == ["5s"])
        #expect(try parse("fetch", "--timeout", "1s", environment: ["FETCH_TIMEOUT": "5s"]).values["timeout"] == ["1s"])
        #expect(try parse("fetch", environment: ["FETCH_TIMEOUT": ""]).values["timeout"] == ["30s"])
    }

    @Test("A value of the wrong kind is refused, from the environment too")
    func kinds() {
        #expect(hint("fetch", "--timeout", "5") == "write it like 250ms, 30s or 5m")
        #expect(hint("fetch", "--uses", "11") != nil)
        #expect(hint("fetch", "--uses", "x") != nil)
        #expect(hint("fetch", "--at", "localhost") != nil)
        #expect(hint("fetch", "--output", "jsn") == "did you mean json?")
        #expect(throws: CommandFailure.self) { try parse("fetch", environment: ["FETCH_TIMEOUT": "soon"]) }
    }

    @Test("Misspelt commands and flags get a suggestion")
    func suggestions() {
        #expect(hint("fetsh") == "did you mean \"weft fetch\"?")
        #expect(hint("token", "creat") == "did you mean \"weft token create\"?")
        #expect(hint("fetch", "--timout", "1s") == "did you mean --timeout?")
        #expect(hint("secre") == "weft help lists the commands")
    }

    @Test("What is missing, too much or twice is a usage error")
    func counts() {
        #expect(hint("needy", "--service", "a") != nil)
        #expect(hint("needy", "file") != nil)
        #expect(hint("needy", "file", "--service", "a") == nil)
        #expect(hint("needy", "file", "more", "--service", "a") != nil)
        #expect(hint("fetch", "--output") != nil)
        #expect(hint("fetch", "--output", "json", "-o", "table") != nil)
        #expect(hint("fetch", "--wait=yes") != nil)
        #expect(hint("token") != nil)
        #expect(hint() != nil)
    }

    @Test("--help wins over whatever else is wrong")
    func help() throws {
        #expect(try parse("needy", "--help").wantsHelp)
        #expect(try parse("token", "create", "-h").wantsHelp)
    }

    @Test("Help about a word that several commands begin with is about them all")
    func groupHelp() {
        let parser = ArgumentParser(Self.commands, environment: { _ in nil })
        #expect(parser.groupInQuestion(["token", "--help"]).map(\.name) == ["token create", "token list"])
        #expect(parser.groupInQuestion(["token", "--whatever", "-h"]).count == 2)
        for words in [["token"], ["token", "create", "--help"], ["fetch", "--help"], ["nobody", "--help"], ["--help"], []] {
            #expect(parser.groupInQuestion(words).isEmpty, "\(words)")
        }
    }
}

@Suite("The table of commands")
struct CommandTableTests {
    @Test("No two commands have the same words, no command two flags of one name or letter")
    func unique() {
        #expect(Set(CommandTable.all.map(\.name)).count == CommandTable.all.count)
        for command in CommandTable.all {
            #expect(Set(command.flags.map(\.name)).count == command.flags.count, "\(command.name)")
            let letters = command.flags.compactMap(\.letter)
            #expect(Set(letters).count == letters.count, "\(command.name)")
        }
    }

    @Test("Every default is a value that its flag accepts, and every flag says what it does")
    func defaults() throws {
        for command in CommandTable.all {
            for flag in command.flags {
                #expect(flag.meaning.hasSuffix("."), "--\(flag.name) of \(command.name)")
                guard let fallback = flag.fallback else { continue }
                let alone = Command("x", "", flags: [flag], run: { _ in .ok })
                #expect(try ArgumentParser([alone], environment: { _ in nil }).parse(["x", "--\(flag.name)", fallback]).values[flag.name] == [fallback])
            }
        }
    }

    @Test("Every example is a command line that parses")
    func examples() throws {
        let parser = ArgumentParser(CommandTable.all, environment: { _ in nil })
        for command in CommandTable.all {
            for example in command.examples {
                // Only the part that is ours of lines with pipes, redirections and parentheses.
                guard let own = example.split(separator: "|").last?.split(separator: ";").last else { continue }
                let words = own.split(separator: " ").map { $0.trimmingPrefix("(") }.prefix { $0 != ">" }.map(String.init)
                #expect(words.first == "weft", "\(example)")
                #expect(try parser.parse(Array(words.dropFirst())).command.name == command.name, "\(example)")
            }
        }
    }

    @Test("Help of every command names all its flags and shows the examples")
    func help() {
        for command in CommandTable.all {
            let page = Help.page(command)
            for flag in command.flags { #expect(page.contains("--\(flag.name)")) }
            for example in command.examples { #expect(page.contains(example)) }
            #expect(command.isHidden != Help.overview(CommandTable.all).contains("  \(command.name) "))
        }
    }
}
