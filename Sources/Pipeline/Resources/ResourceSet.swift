/// Everything operators wrote, checked as a whole: what `weft apply`, a sidecar's `resources[]` and `config check` go through.
package struct ResourceSet: Sendable {
    /// Problems told of one change. Ten thousand resources may each be wrong in the same way; nobody reads that.
    package static let problemsMax = 100

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
        return change(to: kept + written, written, news(problems, in: texts, filters).inTextOrder)
    }

    /// Without the warnings that held before and stand in other texts: they were told when those were applied.
    private func news(_ problems: [ConfigProblem], in texts: [ConfigSource], _ filters: [String: FilterSchema]?) -> [ConfigProblem] {
        func isOld(_ problem: ConfigProblem) -> Bool { problem.severity == .warning && !texts.contains { $0 === problem.source } }
        guard problems.contains(where: isOld) else { return problems }
        let told = Set(ResourceValidation.validate(sorted, filters: filters).map { [$0.file, "\($0.line)", $0.path, $0.message] })
        return problems.filter { !isOld($0) || !told.contains([$0.file, "\($0.line)", $0.path, $0.message]) }
    }

    /// Takes resources out and checks what is left.
    package func removing(_ keys: [ResourceKey], filters: [String: FilterSchema]?) -> Change {
        let gone = Set(keys)
        let kept = sorted.filter { !gone.contains($0.key) }
        return change(to: kept, [], ResourceValidation.validate(kept, filters: filters))
    }

    private func change(to next: [Resource], _ written: [Resource], _ problems: [ConfigProblem]) -> Change {
        let result = problems.hasErrors ? self : ResourceSet(next)
        guard problems.count > Self.problemsMax else { return Change(result: result, written: written, problems: problems) }
        // Errors first: they are what stands in the way.
        let errors = problems.filter { $0.severity == .error }.prefix(Self.problemsMax)
        let warnings = problems.filter { $0.severity == .warning }.prefix(Self.problemsMax - errors.count)
        var told = Array(errors + warnings).inTextOrder
        told[told.count - 1].notes.append("and \(problems.count - told.count) more problems")
        return Change(result: result, written: written, problems: told)
    }
}
