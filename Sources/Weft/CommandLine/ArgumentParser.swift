internal import Host
internal import Pipeline

/// Turns words into a command and its values, or says what is wrong with them. Knows no command by name.
package struct ArgumentParser: Sendable {
    package let commands: [Command]
    /// Looks up an environment variable.
    package let environment: @Sendable (String) -> String?

    package init(_ commands: [Command], environment: @escaping @Sendable (String) -> String?) {
        self.commands = commands
        self.environment = environment
    }

    package struct Result: Sendable {
        package let command: Command
        package var values: [String: [String]] = [:]
        package var operands: [String] = []
        /// `--help` was among the words: nothing was checked.
        package var wantsHelp = false
    }

    package func parse(_ arguments: [String]) throws(CommandFailure) -> Result {
        let (command, rest) = try command(arguments)
        var result = Result(command: command)
        var given: Set<String> = []
        var words = rest[...]
        while let word = words.popFirst() {
            if word == "--" {
                result.operands += words
                break
            }
            // A lone hyphen is an operand: standard input.
            guard word.hasPrefix("-"), word.count > 1 else {
                result.operands.append(word)
                continue
            }
            if Self.asksHelp(word) {
                result.wantsHelp = true
                return result
            }
            let (flag, attached) = try flag(word, of: command)
            guard !flag.isToggle else {
                guard attached == nil else { throw .usage("--\(flag.name) takes no value", hint: Self.seeHelp(command)) }
                result.values[flag.name] = ["true"]
                continue
            }
            guard let value = attached ?? words.popFirst() else {
                throw .usage("--\(flag.name) needs a value: \(flag.placeholder)", hint: Self.seeHelp(command))
            }
            if given.contains(flag.name), !flag.isRepeatable { throw .usage("--\(flag.name) is given twice", hint: Self.seeHelp(command)) }
            given.insert(flag.name)
            try check(value, flag, from: "--\(flag.name)")
            result.values[flag.name, default: []].append(value)
        }
        try fillIn(&result)
        return result
    }

    /// The commands that share the first word, if help is asked about that word alone: `token --help`. Else none.
    package func groupInQuestion(_ arguments: [String]) -> [Command] {
        let flags = arguments.dropFirst()
        guard let first = arguments.first, flags.contains(where: Self.asksHelp), flags.allSatisfy({ $0.hasPrefix("-") }) else { return [] }
        let group = commands.filter { $0.words.first == first && !$0.isHidden }
        return group.contains { $0.words == [first] } ? [] : group
    }

    // MARK: Parts

    private static func asksHelp(_ word: String) -> Bool { word == "--help" || word == "-h" }


    private func command(_ arguments: [String]) throws(CommandFailure) -> (Command, [String]) {
        guard let first = arguments.first else { throw .usage("a command is missing", hint: "weft help lists them") }
        if let second = arguments.dropFirst().first, let command = commands.first(where: { $0.words == [first, second] }) {
            return (command, Array(arguments.dropFirst(2)))
        }
        if let command = commands.first(where: { $0.words == [first] }) { return (command, Array(arguments.dropFirst())) }
        let group = commands.filter { $0.words.first == first && !$0.isHidden }
        if !group.isEmpty {
            let seconds = group.compactMap { $0.words.dropFirst().first }
            guard let second = arguments.dropFirst().first(where: { !$0.hasPrefix("-") }) else {
                throw .usage("weft \(first) needs one of: \(seconds.joined(separator: ", "))", hint: "weft help \(first)")
            }
            throw .usage(
                "there is no command \"\(first) \(Printable.text(second))\"",
                hint: Spelling.suggestion(for: second, among: seconds).map { "did you mean \"weft \(first) \($0)\"?" }
                    ?? "weft \(first) knows: \(seconds.joined(separator: ", "))")
        }
        if first.hasPrefix("-") {
            throw .usage("a command comes before \(Printable.text(first))", hint: "weft help lists the commands")
        }
        let names = Array(Set(commands.filter { !$0.isHidden }.compactMap(\.words.first))).sorted()
        throw .usage(
            "there is no command \"\(Printable.text(first))\"",
            hint: Spelling.suggestion(for: first, among: names).map { "did you mean \"weft \($0)\"?" } ?? "weft help lists the commands")
    }

    /// The flag of `--name`, `--name=value`, `-x` or `-xvalue`, and the value that came with it.
    private func flag(_ word: String, of command: Command) throws(CommandFailure) -> (Flag, String?) {
        guard word.hasPrefix("--") else {
            let letter = word.dropFirst().first
            guard let flag = command.flags.first(where: { $0.letter == letter && letter != nil }) else {
                throw unknown(Printable.text(word), of: command, suggestion: nil)
            }
            let rest = word.dropFirst(2)
            return (flag, rest.isEmpty ? nil : String(rest.first == "=" ? rest.dropFirst() : rest))
        }
        let body = word.dropFirst(2)
        let name = String(body.prefix { $0 != "=" })
        guard let flag = command.flag(named: name) else {
            let suggestion = Spelling.suggestion(for: name, among: command.flags.map(\.name))
            throw unknown("--\(Printable.text(name))", of: command, suggestion: suggestion.map { "--\($0)" })
        }
        return (flag, body.contains("=") ? String(body.dropFirst(name.count + 1)) : nil)
    }

    private func unknown(_ word: String, of command: Command, suggestion: String?) -> CommandFailure {
        .usage(
            "weft \(command.name) has no flag \(word)",
            hint: suggestion.map { "did you mean \($0)?" } ?? Self.seeHelp(command))
    }

    /// Environment and defaults, then what is still missing.
    private func fillIn(_ result: inout Result) throws(CommandFailure) {
        let command = result.command
        for flag in command.flags where result.values[flag.name] == nil {
            if let name = flag.environment, let value = environment(name), !value.isEmpty {
                try check(value, flag, from: name)
                result.values[flag.name] = [value]
            } else if let fallback = flag.fallback {
                result.values[flag.name] = [fallback]
            } else if flag.isRequired {
                throw .usage("weft \(command.name) needs --\(flag.name) \(flag.placeholder)", hint: Self.seeHelp(command))
            }
        }
        if result.operands.count < command.operandCount.lowerBound {
            throw .usage("weft \(command.name) needs \(command.operands)", hint: Self.seeHelp(command))
        }
        if result.operands.count > command.operandCount.upperBound {
            let extra = Printable.text(result.operands[command.operandCount.upperBound])
            throw .usage("weft \(command.name) does not know what to do with \"\(extra)\"", hint: Self.seeHelp(command))
        }
    }

    private func check(_ value: String, _ flag: Flag, from origin: String) throws(CommandFailure) {
        let shown = "\"\(Printable.text(value))\""
        switch flag.kind {
        case .toggle: break
        case .text: if value.isEmpty { throw .usage("\(origin) is empty") }
        case .choice(let choices):
            guard !choices.contains(value) else { return }
            let suggestion = Spelling.suggestion(for: value, among: choices).map { "did you mean \($0)?" }
            throw .usage("\(origin) cannot be \(shown)", hint: suggestion ?? "one of: \(choices.joined(separator: ", "))")
        case .duration:
            guard Quantity.parse(value, Quantity.durations) == nil else { return }
            throw .usage("\(origin): \(shown) is not a duration", hint: "write it like 250ms, 30s or 5m")
        case .count(let range):
            if let count = Int(value), range.contains(count) { return }
            throw .usage("\(origin): \(shown) is not a number from \(range.lowerBound) to \(range.upperBound)")
        case .address:
            guard SocketAddress(value) == nil else { return }
            throw .usage("\(origin): \(shown) is no address", hint: "write it like 127.0.0.1:8080, [::1]:8080 or unix:/path (at most 107 bytes)")
        }
    }

    private static func seeHelp(_ command: Command) -> String { "weft help \(command.name)" }
}
