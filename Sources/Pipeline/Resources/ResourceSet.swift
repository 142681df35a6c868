/// Everything operators wrote, checked as a whole: what `weft apply`, a sidecar's `resources[]` and `config check` go through.
package struct ResourceSet: Sendable {
    /// By key.
    package private(set) var resources: [ResourceKey: Resource]

    package init(_ resources: [Resource] = []) {
        self.resources = Dictionary(resources.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    }

    package var sorted: [Resource] { resources.values.sorted { $0.key < $1.key } }
    package subscript(key: ResourceKey) -> Resource? { resources[key] }

    /// What a change would lead to.
    package struct Change: Sendable {
        /// The set after it; the set before it if there are errors.
        package let result: ResourceSet
        /// What was read, in the order of the texts.
        package let written: [Resource]
        /// All of them, warnings too.
        package let problems: [ConfigProblem]
        package var isRefused: Bool { problems.hasErrors }
    }

    /// Reads texts over the set and checks the whole: a resource with a known key replaces the one there. All or nothing.
    package func applying(
        _ texts: [ConfigSource], filters: [String: FilterSchema]?, by author: ResourceReader.Author = .operator
    ) -> Change {
        var written: [Resource] = []
        var problems: [ConfigProblem] = []
        var broken = BrokenResources()
        for text in texts {
            let read = ResourceReader.read(text, by: author)
            written += read.resources
            problems += read.problems
            broken.formUnion(read.broken)
        }
        let replaced = Set(written.map(\.key))
        let kept = sorted.filter { !replaced.contains($0.key) && !broken.keys.contains($0.key) }
        problems += ResourceValidation.validate(kept + written, filters: filters, broken: broken)
        problems = problems.inTextOrder
        return Change(result: problems.hasErrors ? self : ResourceSet(kept + written), written: written, problems: problems)
    }

    /// Takes resources out and checks what is left.
    package func removing(_ keys: [ResourceKey], filters: [String: FilterSchema]?) -> Change {
        let gone = Set(keys)
        let kept = sorted.filter { !gone.contains($0.key) }
        let problems = ResourceValidation.validate(kept, filters: filters)
        return Change(result: problems.hasErrors ? self : ResourceSet(kept), written: [], problems: problems)
    }
}
