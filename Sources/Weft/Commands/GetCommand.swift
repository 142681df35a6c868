internal import Pipeline

enum GetCommand {
    static let command = Command(
        "get", "show resources", operands: "KIND [NAME]", count: 0...2,
        flags: [
            Flag("namespace", .text("NAME"), letter: "n", "Only this namespace; all of them by default."), .output, .controlPlane,
        ],
        details: "Kinds: \(ResourceKind.allCases.map(\.rawValue).joined(separator: ", ")); case does not count. Without a kind: everything.",
        examples: ["weft get", "weft get services", "weft get route payment -o json > payment-route.json"],
        run: run)

    private static func run(_ invocation: Invocation) throws -> ExitCode {
        let kind = try invocation.operands.first.map(kind)
        let name = invocation.operands.dropFirst().first
        let api = try ControlPlaneAPI(invocation)
        let answer = try api.get("/v1/resources", ["kind": kind?.rawValue, "namespace": invocation.optional("namespace"), "name": name])
        let items = answer.items("items")
        if items.isEmpty, let name, let kind { throw try missing(kind, name, invocation.optional("namespace"), api) }
        if invocation.wantsJSON {
            // One object for one name, so that what is printed can be edited and applied.
            invocation.console.print(name != nil && items.count == 1 ? items[0].prettyJSON : ConfigNode(.array(items)).prettyJSON)
        } else if kind == .service {
            invocation.console.print(services(items, try api.get("/v1/services")).rendered(invocation.console.style))
        } else {
            var table = Table([.left("KIND"), .left("NAMESPACE"), .left("NAME"), .left("WHAT")])
            for item in items {
                table.add([Table.Cell(item.text("kind")), Table.Cell(namespace(item)), Table.Cell(item.text("name")), Table.Cell(ResourceSummary.of(item))])
            }
            invocation.console.print(table.rendered(invocation.console.style))
        }
        return .ok
    }

    /// That there is none of that name, and what may have been meant.
    static func missing(_ kind: ResourceKind, _ name: String, _ namespace: String?, _ api: ControlPlaneAPI) throws(CommandFailure) -> CommandFailure {
        let all = try api.get("/v1/resources", ["kind": kind.rawValue]).items("items")
        let here = all.filter { namespace == nil || self.namespace($0) == namespace }
        let sentence = "there is no \(kind.rawValue) \"\(Printable.text(name))\"" + (namespace.map { " in namespace \(Printable.text($0))" } ?? "")
        if let near = Spelling.suggestion(for: name, among: here.map { $0.text("name") }) { return .no("\(sentence); did you mean \"\(near)\"?") }
        if let other = all.first(where: { $0.text("name") == name }) { return .no("\(sentence); there is one in namespace \(self.namespace(other))") }
        return .no(sentence)
    }

    /// `services`, `Service`, `route`: any case, one or many.
    static func kind(_ word: String) throws(CommandFailure) -> ResourceKind {
        let wanted = word.lowercased()
        for kind in ResourceKind.allCases {
            let one = kind.rawValue.lowercased()
            let many = one.hasSuffix("y") ? one.dropLast() + "ies" : one + (one.hasSuffix("sh") ? "es" : "s")
            if wanted == one || wanted == many { return kind }
        }
        let kinds = ResourceKind.allCases.map(\.rawValue)
        throw .usage(
            "there is no kind \"\(Printable.text(word))\"",
            hint: Spelling.suggestion(for: word, among: kinds).map { "did you mean \($0)?" } ?? "kinds: \(kinds.joined(separator: ", "))")
    }

    private static func namespace(_ item: ConfigNode) -> String { item["namespace"]?.string ?? ResourceKey.defaultNamespace }

    /// Services with what stands behind them.
    private static func services(_ resources: [ConfigNode], _ states: ConfigNode) -> Table {
        var table = Table([.left("NAMESPACE"), .left("SERVICE"), .left("PROTOCOL"), .left("VERSIONS (HEALTHY/ALL)"), .left("NOTE")])
        for resource in resources {
            let state = states.items("items").first { $0.text("name") == resource.text("name") && namespace($0) == namespace(resource) }
            let versions = state?.items("versions") ?? []
            let isShort = versions.contains { $0["healthy"]?.number != $0["endpoints"]?.number }
            let text = versions.map { version in
                let name = version.text("name")
                return "\(name.isEmpty ? "" : name + " ")\(version["healthy"]?.integer ?? 0)/\(version["endpoints"]?.integer ?? 0)"
            }
            let note = state?.text("note") ?? ""
            table.add([
                Table.Cell(namespace(resource)), Table.Cell(resource.text("name")),
                Table.Cell(state?.text("protocol") ?? ""), Table.Cell(text.joined(separator: ", "), isShort ? .odd : .plain),
                Table.Cell(note, note.isEmpty ? .plain : .odd),
            ])
        }
        return table
    }
}

/// A resource in a few words, from its JSON.
enum ResourceSummary {
    static func of(_ resource: ConfigNode) -> String {
        switch ResourceKind(rawValue: resource.text("kind")) {
        case .mesh:
            return ["trustDomain", "mtls", "defaultAccess", "egress"].compactMap { key in resource[key]?.string.map { "\(key) \($0)" } }.joined(separator: ", ")
        case .service:
            let ports = resource.items("ports").map { "\($0["port"]?.integer ?? 0)/\($0["protocol"]?.string ?? "http")" }
            let version = resource["defaultVersion"]?.string.map { ["default version \($0)"] } ?? []
            return (ports + version).joined(separator: ", ")
        case .workload: return [resource.text("service"), resource.text("version"), resource.text("address")].filter { !$0.isEmpty }.joined(separator: " ")
        case .route:
            let rules = resource.items("rules").map { rule in
                rule.items("backends").map { backend in
                    let name = [backend["service"]?.string, backend["version"]?.string].compactMap { $0 }.joined(separator: " ")
                    return name + (backend["weight"]?.integer).map { " \($0)" }.orEmpty
                }.joined(separator: ", ")
            }
            return "\(resource.text("service")) → \(rules.joined(separator: "; "))"
        case .accessPolicy:
            let from = resource.items("rules").flatMap { $0.items("from") }.map { peer in
                peer["external"]?.bool == true ? "external" : peer["service"]?.string ?? peer["prefix"]?.string.map { $0 + "*" } ?? peer["namespace"]?.string.map { "namespace \($0)" } ?? "anybody"
            }
            let shadow = resource["shadow"]?.bool == true ? " (shadow)" : ""
            return "\(resource.text("action")) \(from.isEmpty ? "anybody" : from.joined(separator: ", ")) → \(target(resource))\(shadow)"
        case .rateLimit:
            let rules = resource.items("rules").map { "\($0.text("rate")) per \($0.text("key"))" }
            return "\(target(resource)): \(rules.joined(separator: ", "))"
        case .chain:
            let stages = resource.items("stages").map { $0.string ?? $0["name"]?.string ?? $0.text("filter") }
            return "\(resource.text("direction")) of \(target(resource)): \(stages.joined(separator: ", "))"
        case nil: return ""
        }
    }

    private static func target(_ resource: ConfigNode) -> String {
        guard let target = resource["target"] else { return "the mesh" }
        if let service = target["service"]?.string { return service }
        return (target["labels"]?.keys ?? []).map { "\($0)=\(target["labels"]?.text($0) ?? "")" }.joined(separator: ",")
    }
}

extension Optional where Wrapped == String {
    fileprivate var orEmpty: String { self ?? "" }
}
