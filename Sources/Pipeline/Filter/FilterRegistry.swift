/// Which filters a process has: the standard ones and those of the user. One list, made at start, in `Weft`.
public struct FilterRegistry: Sendable {
    package let filters: [FilterDescriptor]

    /// Traps if two filters have one name: that is a mistake of whoever wrote the list.
    public init(_ types: [any Filter.Type]) {
        filters = types.map { Self.describe($0) }
        precondition(Set(filters.map(\.name)).count == filters.count, "two filters have the same name")
    }

    package subscript(name: String) -> FilterDescriptor? { filters.first { $0.name == name } }

    private static func describe<F: Filter>(_ type: F.Type) -> FilterDescriptor { FilterDescriptor(type) }
}

/// One filter: its name, what its config looks like, which phases it takes part in, and how to make it.
package struct FilterDescriptor: Sendable {
    package let name: String
    /// Empty if its author wrote none.
    package let summary: String
    package let fields: [ConfigField]
    package let phases: [String]
    /// Reads the layers, checks them and makes an instance; nil when there are problems.
    package let make: @Sendable ([ConfigLayer], inout StageSetup) -> (filter: (any Filter)?, problems: [ConfigProblem])
    /// Only reads and checks.
    package let check: @Sendable ([ConfigLayer], _ path: String) -> (problems: [ConfigProblem], origins: [ConfigOrigin])
    /// The counters, gauges and histograms it declares, found by making one that counts nothing.
    package let statistics: @Sendable () -> [StatDeclaration]

    /// What it takes, as a sidecar reports it.
    package var schema: FilterSchema { FilterSchema(name: name, summary: summary, fields: fields) }

    fileprivate init<F: Filter>(_ type: F.Type) {
        let subject = "filter \"\(F.name)\""
        name = F.name.description
        summary = F.summary
        fields = F.Config.configFields
        phases = [
            (type is any ConnectionFilter.Type, "connection"), (type is any RequestHeadFilter.Type, "request head"),
            (type is any RequestBodyFilter.Type, "request body"), (type is any ResponseHeadFilter.Type, "response head"),
            (type is any ResponseBodyFilter.Type, "response body"), (type is any FailureFilter.Type, "failure"),
            (type is any OutcomeFilter.Type, "outcome"), (type is any ReviewFilter.Type, "review"),
            (type is any StreamFilter.Type, "stream"), (type is any TransportFilter.Type, "transport"),
        ].filter(\.0).map(\.1)
        make = { layers, setup in
            let result = F.Config.decode(layers, subject: subject)
            return (result.value.map { F($0, &setup) }, result.problems)
        }
        check = { layers, path in
            let result = F.Config.decode(layers, subject: subject, path: path)
            return (result.problems, result.origins)
        }
        statistics = {
            var setup = StageSetup.describing(F.name.description)
            _ = F(F.Config.placeholder, &setup)
            return setup.declared
        }
    }
}

/// A counter, gauge or histogram that a filter declared.
package struct StatDeclaration: Sendable, Equatable {
    package enum Kind: String, Sendable { case counter, gauge, histogram }
    package let kind: Kind
    package let name: String
    package let meaning: String
}
