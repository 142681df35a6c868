package import Host
package import Pipeline

/// A command line that was understood: values are there and of the declared kind.
package struct Invocation: Sendable {
    package let command: Command
    /// By flag name, in the order given; from the command line, else the environment, else the default.
    let values: [String: [String]]
    package let operands: [String]
    package let console: Console
    /// The filters of this binary.
    package let filters: FilterRegistry

    package func isOn(_ flag: String) -> Bool { values[declared(flag)] != nil }
    package func all(_ flag: String) -> [String] { values[declared(flag)] ?? [] }
    package func optional(_ flag: String) -> String? { all(flag).last }

    /// For flags that are required or have a default.
    package func text(_ flag: String) -> String { certain(optional(flag), flag) }
    package func duration(_ flag: String) -> Nanoseconds { certain(optionalDuration(flag), flag) }
    package func optionalDuration(_ flag: String) -> Nanoseconds? {
        optional(flag).flatMap { Quantity.parse($0, Quantity.durations) }.map(Nanoseconds.init)
    }
    package func count(_ flag: String) -> Int { certain(optional(flag).flatMap(Int.init), flag) }
    package func address(_ flag: String) -> SocketAddress { certain(optionalAddress(flag), flag) }
    package func optionalAddress(_ flag: String) -> SocketAddress? { optional(flag).flatMap { SocketAddress($0) } }

    /// Whether `-o json` was asked for.
    package var wantsJSON: Bool { text("output") == "json" }

    /// The filters' schemas, as checks of resources want them.
    package var schemas: [String: FilterSchema] {
        Dictionary(filters.filters.map { ($0.name, $0.schema) }, uniquingKeysWith: { first, _ in first })
    }

    private func declared(_ flag: String) -> String {
        precondition(command.flag(named: flag) != nil, "\(command.name) declares no --\(flag)")
        return flag
    }

    /// The parser has checked every value, so only a declaration without default or `required` can fail here.
    private func certain<Value>(_ value: Value?, _ flag: String) -> Value {
        guard let value else { preconditionFailure("--\(flag) of \(command.name) is neither required nor has a default") }
        return value
    }
}
