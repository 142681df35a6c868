internal import Pipeline

enum HelpCommand {
    static let command = Command(
        "help", "say what a command does", operands: "COMMAND", count: 0...2,
        details: "Without a command: all of them.", examples: ["weft help", "weft help apply", "weft help filters describe"],
        run: { invocation in
            let words = invocation.operands
            guard let first = words.first else {
                invocation.console.print(Help.overview(CommandTable.all))
                return .ok
            }
            let found = CommandTable.all.filter { $0.words.starts(with: words) }
            guard !found.isEmpty else {
                let names = Array(Set(CommandTable.all.filter { !$0.isHidden }.map(\.name)))
                let suggestion = Spelling.suggestion(for: words.joined(separator: " "), among: names.sorted())
                throw CommandFailure.usage(
                    "there is no command \"\(Printable.text(words.joined(separator: " ")))\"",
                    hint: suggestion.map { "did you mean \"weft help \($0)\"?" } ?? "weft help lists them; \(Printable.text(first)) is not among them")
            }
            invocation.console.print(Help.group(found))
            return .ok
        })
}
