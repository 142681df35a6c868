/// What `weft help` prints, written from the command table.
package enum Help {
    package static func overview(_ commands: [Command]) -> String {
        let shown = commands.filter { !$0.isHidden }
        let width = shown.map(\.name.count).max() ?? 0
        var text = "weft: a service mesh for plain Linux hosts\n\nusage: weft COMMAND [FLAGS]\n\n"
        for command in shown {
            text += "  \(command.name)\(String(repeating: " ", count: width - command.name.count))  \(command.summary)\n"
        }
        text += "\nweft help COMMAND says more about one. New here? weft demo shows a mesh at work.\n\n"
        text += "exit codes: 0 done · 1 the answer is no · 2 usage · 3 peer unreachable · 4 timeout · 78 invalid configuration\n"
        return text
    }

    /// About all commands that begin with the same word: `weft help config`.
    package static func group(_ commands: [Command]) -> String { commands.map(page).joined(separator: "\n") }

    package static func page(_ command: Command) -> String {
        var text = "weft \(command.name): \(command.summary)\n\nusage: \(usage(command))\n"
        if !command.details.isEmpty { text += "\n\(command.details)\n" }
        if !command.flags.isEmpty { text += "\n" + flags(command.flags) }
        if !command.examples.isEmpty { text += "\nexamples:\n" + command.examples.map { "  \($0)\n" }.joined() }
        return text
    }

    private static func usage(_ command: Command) -> String {
        var parts = ["weft \(command.name)"]
        for flag in command.flags where flag.isRequired {
            parts.append("\(spelling(flag)) \(flag.placeholder)")
        }
        if command.flags.contains(where: { !$0.isRequired }) { parts.append("[FLAGS]") }
        if !command.operands.isEmpty { parts.append(command.operandCount.lowerBound == 0 ? "[\(command.operands)]" : command.operands) }
        return parts.joined(separator: " ")
    }

    private static func spelling(_ flag: Flag) -> String { flag.letter.map { "-\($0)" } ?? "--\(flag.name)" }

    private static func flags(_ flags: [Flag]) -> String {
        let names = flags.map { flag in
            let letter = flag.letter.map { "-\($0), " } ?? "    "
            return letter + "--\(flag.name)" + (flag.isToggle ? "" : " \(flag.placeholder)")
        }
        let width = min(names.map(\.count).max() ?? 0, 36)
        var text = "flags:\n"
        for (name, flag) in zip(names, flags) {
            var notes: [String] = []
            if let fallback = flag.fallback { notes.append("default \(fallback)") }
            if let environment = flag.environment { notes.append("environment \(environment)") }
            if flag.isRepeatable { notes.append("may be repeated") }
            let meaning = flag.meaning + (notes.isEmpty ? "" : " (\(notes.joined(separator: "; ")))")
            if name.count <= width {
                text += "  \(name)\(String(repeating: " ", count: width - name.count))  \(meaning)\n"
            } else {
                text += "  \(name)\n  \(String(repeating: " ", count: width))  \(meaning)\n"
            }
        }
        return text
    }
}
