package import Pipeline

/// One command, declared once: parsing, help and suggestions all come from this.
package struct Command: Sendable {
    /// `["apply"]`, or `["config", "check"]`.
    package let words: [String]
    /// One line for the list of commands, no full stop.
    package let summary: String
    /// What follows the flags, as help shows it: `FILE|DIR…`.
    package let operands: String
    /// How many operands there may be.
    package let operandCount: ClosedRange<Int>
    package let flags: [Flag]
    /// Paragraphs for help.
    package let details: String
    /// Command lines to copy.
    package let examples: [String]
    /// Not in the list of commands: for processes that we start ourselves.
    package let isHidden: Bool
    package let run: @Sendable (Invocation) throws -> ExitCode

    package init(
        _ words: String, _ summary: String, operands: String = "", count: ClosedRange<Int> = 0...0, flags: [Flag] = [],
        details: String = "", examples: [String] = [], isHidden: Bool = false,
        run: @escaping @Sendable (Invocation) throws -> ExitCode
    ) {
        self.words = words.split(separator: " ").map(String.init)
        self.summary = summary
        self.operands = operands
        operandCount = count
        // Whoever calls the API may do so from another host.
        let callsAPI = flags.contains { if case .address = $0.kind { $0.name == "control-plane" } else { false } }
        self.flags = flags + (callsAPI ? [.credential, .server] : [])
        self.details = details
        self.examples = examples
        self.isHidden = isHidden
        self.run = run
    }

    package var name: String { words.joined(separator: " ") }

    package func flag(named name: String) -> Flag? { flags.first { $0.name == name } }
}

/// A flag of a command: `--timeout 30s`, `--timeout=30s`, `-o json`.
package struct Flag: Sendable {
    package enum Kind: Sendable {
        /// Stands alone.
        case toggle
        /// Any text; what help calls it.
        case text(String)
        case choice([String])
        /// `250ms`, `30s`, `5m`.
        case duration
        case count(ClosedRange<Int>)
        /// `127.0.0.1:0`, `[::1]:8080` or `unix:/path`.
        case address
    }

    package let name: String
    package let letter: Character?
    package let kind: Kind
    /// The value when neither flag nor environment gives one.
    package let fallback: String?
    /// Read when the flag is absent.
    package let environment: String?
    package let isRequired: Bool
    package let isRepeatable: Bool
    package let meaning: String

    package init(
        _ name: String, _ kind: Kind, letter: Character? = nil, default fallback: String? = nil, environment: String? = nil,
        required: Bool = false, repeatable: Bool = false, _ meaning: String
    ) {
        self.name = name
        self.letter = letter
        self.kind = kind
        self.fallback = fallback
        self.environment = environment
        isRequired = required
        isRepeatable = repeatable
        self.meaning = meaning
    }

    package var isToggle: Bool { if case .toggle = kind { true } else { false } }

    /// The word for its value in help; empty for a toggle.
    package var placeholder: String {
        switch kind {
        case .toggle: ""
        case .text(let word): word
        case .choice(let choices): choices.joined(separator: "|")
        case .duration: "DURATION"
        case .count: "N"
        case .address: "ADDRESS"
        }
    }
}

/// Flags that several commands have, with one meaning everywhere.
extension Flag {
    package static let output = Flag(
        "output", .choice(["table", "json"]), letter: "o", default: "table", "A table for people or JSON for programs.")
    package static let controlPlane = Flag(
        "control-plane", .address, environment: "WEFT_CONTROL_PLANE",
        "Where the control plane's API is; by default the socket in the state directory of this user.")
    package static let credential = Flag(
        "credential", .text("FILE"), environment: "WEFT_CREDENTIAL",
        "An operator's credential, for a control plane on another host; goes before --control-plane.")
    package static let server = Flag(
        "server", .text("https://HOST:PORT"), environment: "WEFT_SERVER", "Where that control plane's API is, if not where the credential says.")
    package static let namespace = Flag("namespace", .text("NAME"), letter: "n", default: "default", "The namespace it is in.")

    package static func timeout(_ fallback: String, _ meaning: String) -> Flag {
        Flag("timeout", .duration, default: fallback, meaning)
    }
}

/// What a process of ours ends with.
package enum ExitCode: Int32, Sendable {
    case ok = 0
    /// It worked, and the answer is no: not found, not synced, refused.
    case no = 1
    /// The command line makes no sense.
    case usage = 2
    /// The peer cannot be reached.
    case unreachable = 3
    case timeout = 4
    /// EX_CONFIG: the configuration is invalid; do not restart until it has changed.
    case configuration = 78
}

/// Why a command ended early; printed once, by `Weft.main`.
package enum CommandFailure: Error {
    /// One line, and what may help.
    case usage(String, hint: String? = nil)
    case no(String)
    case unreachable(String, hint: String? = nil)
    case timeout(String)
    /// Problems in what operators wrote; `summary` closes the report.
    case configuration([ConfigProblem], summary: String)
    /// The system refused something: a file, a socket.
    case system(String)

    package var exitCode: ExitCode {
        switch self {
        case .usage: .usage
        case .no, .system: .no
        case .unreachable: .unreachable
        case .timeout: .timeout
        case .configuration: .configuration
        }
    }
}
