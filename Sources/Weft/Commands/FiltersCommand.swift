internal import Pipeline

enum FiltersCommand {
    static let list = Command(
        "filters list", "list the filters that a chain may name",
        flags: [Flag("reported", .toggle, "Those that the mesh's sidecars report, not those of this binary."), .output, .controlPlane],
        examples: ["weft filters list", "weft filters list --reported", "weft filters list -o json"],
        run: { invocation in
            if invocation.isOn("reported") { return try reported(invocation) }
            if invocation.wantsJSON {
                var writer = JSONWriter(pretty: true)
                writer.array { writer in
                    for filter in invocation.filters.filters {
                        writer.object {
                            $0.member("name", filter.name)
                            $0.member("summary", filter.summary)
                            $0.member("phases", filter.phases)
                            $0.member("keys", filter.fields.map(\.key))
                        }
                    }
                }
                invocation.console.print(writer.text)
                return .ok
            }
            var table = Table([.left("NAME"), .left("WHAT IT DOES")])
            for filter in invocation.filters.filters { table.add([Table.Cell(filter.name), Table.Cell(filter.summary)]) }
            invocation.console.print(table.rendered(invocation.console.style))
            return .ok
        })

    static let describe = Command(
        "filters describe", "show a filter's config and statistics", operands: "NAME", count: 1...1,
        flags: [Flag("output", .choice(["table", "json", "schema"]), letter: "o", default: "table", "Tables, JSON, or the JSON Schema of its config.")],
        examples: ["weft filters describe retry", "weft filters describe retry -o schema > retry.schema.json"],
        run: { invocation in
            let name = invocation.operands[0]
            let names = invocation.filters.filters.map(\.name)
            guard let filter = invocation.filters[name] else {
                let suggestion = Spelling.suggestion(for: name, among: names).map { "did you mean \($0)?" }
                throw CommandFailure.usage(
                    "this binary has no filter \"\(Printable.text(name))\"", hint: suggestion ?? "it has: \(names.joined(separator: ", "))")
            }
            let schema = filter.schema
            switch invocation.text("output") {
            case "schema": invocation.console.print(schema.jsonSchema())
            case "json": invocation.console.print(json(filter, schema))
            default: invocation.console.print(page(filter, schema, invocation.console.style))
            }
            return .ok
        })

    private static func page(_ filter: FilterDescriptor, _ schema: FilterSchema, _ style: Style) -> String {
        var text = style.bold(filter.name) + (filter.summary.isEmpty ? "" : ": \(filter.summary)") + "\n"
        text += "takes part in \(filter.phases.isEmpty ? "no phase" : filter.phases.joined(separator: ", "))\n\n"
        var config = Table([.left("KEY"), .left("TYPE"), .left("DEFAULT"), .left("MEANING")])
        for row in schema.rows {
            let fallback = row.fallback.filter { $0 != "`" }
            config.add([Table.Cell(row.key), Table.Cell(row.type), Table.Cell(fallback), Table.Cell(row.meaning)])
        }
        text += config.isEmpty ? "It has no config.\n" : config.rendered(style)
        var statistics = Table([.left("STATISTIC"), .left("KIND"), .left("MEANING")])
        for statistic in filter.statistics() {
            statistics.add([Table.Cell(statistic.name), Table.Cell(statistic.kind.rawValue), Table.Cell(statistic.meaning)])
        }
        return text + (statistics.isEmpty ? "" : "\n" + statistics.rendered(style))
    }

    private static func json(_ filter: FilterDescriptor, _ schema: FilterSchema) -> String {
        var writer = JSONWriter(pretty: true)
        writer.object { writer in
            writer.member("name", filter.name)
            writer.member("summary", filter.summary)
            writer.member("phases", filter.phases)
            writer.key("config")
            writer.array { writer in
                for row in schema.rows {
                    writer.object {
                        $0.member("key", row.key)
                        $0.member("type", row.type)
                        $0.member("default", row.fallback.filter { $0 != "`" })
                        $0.member("meaning", row.meaning)
                    }
                }
            }
            writer.key("statistics")
            writer.array { writer in
                for statistic in filter.statistics() {
                    writer.object {
                        $0.member("name", statistic.name)
                        $0.member("kind", statistic.kind.rawValue)
                        $0.member("meaning", statistic.meaning)
                    }
                }
            }
        }
        return writer.text
    }

    private static func reported(_ invocation: Invocation) throws -> ExitCode {
        let answer = try ControlPlaneAPI(invocation).get("/v1/filters")
        guard !invocation.wantsJSON else {
            invocation.console.print(answer.prettyJSON)
            return .ok
        }
        var table = Table([.left("NAME"), .left("WHAT IT DOES"), .left("SIDECARS")])
        for item in answer.items("items") {
            let sidecars = item.items("sidecars").compactMap(\.string)
            table.add([
                Table.Cell(item.text("name")), Table.Cell(item["schema"]?.text("summary") ?? ""),
                Table.Cell(sidecars.isEmpty ? "" : sidecars.joined(separator: ", ")),
            ])
        }
        invocation.console.print(table.rendered(invocation.console.style))
        return .ok
    }
}
