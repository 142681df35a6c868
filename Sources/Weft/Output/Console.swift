internal import CPlatform
internal import Glibc
package import Pipeline

/// Where a command speaks: data to standard output, everything else to standard error.
package struct Console: Sendable {
    /// Whether data may be coloured, and redrawn.
    package let style: Style
    package let errorStyle: Style
    /// Whether standard output is a terminal that can be drawn over.
    package let isLive: Bool
    private let out: @Sendable (String) -> Void
    private let err: @Sendable (String) -> Void

    package init(
        style: Style, errorStyle: Style, isLive: Bool, out: @escaping @Sendable (String) -> Void,
        err: @escaping @Sendable (String) -> Void
    ) {
        self.style = style
        self.errorStyle = errorStyle
        self.isLive = isLive
        self.out = out
        self.err = err
    }

    /// The one of this process.
    package static func standard(environment: (String) -> String?) -> Console {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        return Console(
            style: Style(isTerminal: isTerminal, environment: environment),
            errorStyle: Style(isTerminal: isatty(STDERR_FILENO) == 1, environment: environment),
            isLive: isTerminal && environment("TERM") != "dumb",
            out: { fputs($0, weft_stdout()); fflush(weft_stdout()) },
            err: { fputs($0, weft_stderr()); fflush(weft_stderr()) })
    }

    /// Data; a line break is added if it lacks one.
    package func print(_ text: String) { out(text.hasSuffix("\n") ? text : text + "\n") }
    package func write(_ text: String) { out(text) }
    /// What happened, for people.
    package func note(_ text: String) { err(text.hasSuffix("\n") ? text : text + "\n") }

    package func report(_ problems: [ConfigProblem]) {
        err(problems.map { $0.rendered(colour: errorStyle.isOn) }.joined(separator: "\n"))
    }

    package func report(_ failure: CommandFailure) {
        switch failure {
        case .usage(let text, let hint), .unreachable(let text, let hint): error(text, hint)
        case .no(let text), .timeout(let text), .system(let text): error(text, nil)
        case .configuration(let problems, let summary):
            report(problems)
            err((problems.isEmpty ? "" : "\n") + summary + "\n")
        }
    }

    private func error(_ text: String, _ hint: String?) {
        err(errorStyle.bad("error:") + " \(text)\n" + (hint.map { "  \(errorStyle.dim("=")) \($0)\n" } ?? ""))
    }
}

/// Colours, or none.
package struct Style: Sendable {
    package let isOn: Bool

    package init(isOn: Bool) { self.isOn = isOn }

    /// `NO_COLOR` (no-color.org) wins over `CLICOLOR_FORCE`, that over `TERM=dumb` and over not being a terminal.
    package init(isTerminal: Bool, environment: (String) -> String?) {
        if environment("NO_COLOR").map({ !$0.isEmpty }) ?? false {
            isOn = false
        } else if let force = environment("CLICOLOR_FORCE"), !force.isEmpty, force != "0" {
            isOn = true
        } else {
            isOn = isTerminal && environment("TERM") != "dumb"
        }
    }

    package func good(_ text: String) -> String { wrap(text, "32") }
    package func bad(_ text: String) -> String { wrap(text, "1;31") }
    package func odd(_ text: String) -> String { wrap(text, "33") }
    package func dim(_ text: String) -> String { wrap(text, "2") }
    package func bold(_ text: String) -> String { wrap(text, "1") }

    private func wrap(_ text: String, _ code: String) -> String { isOn && !text.isEmpty ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }
}

/// Text of others that cannot drive the terminal it is printed on.
package enum Printable {
    package static func text(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { scalar in
            let isControl = scalar.value < 0x20 || 0x7F..<0xA0 ~= scalar.value || 0x202A...0x202E ~= scalar.value || 0x2066...0x2069 ~= scalar.value
            return isControl ? "\u{FFFD}" : scalar
        }))
    }
}
