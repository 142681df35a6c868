internal import Host
internal import Pipeline

/// A request's body: one JSON object with known keys. What it does not understand it refuses, so that a misspelt key is not
/// a silent default.
struct RequestBody {
    struct Problem: Error {
        let sentence: String
        var problems: [ConfigProblem] = []

        var response: ServiceResponse { .error(400, sentence, problems) }
    }

    let root: ConfigNode

    init(_ request: ServiceRequest, keys: Set<String>) throws(Problem) {
        let read = ConfigReader.read(bytes: request.body, name: "request")
        guard !read.problems.hasErrors, let root = read.root else {
            throw Problem(sentence: "the body cannot be read as JSON", problems: read.problems)
        }
        guard root.isObject else { throw Problem(sentence: "the body must be a JSON object") }
        if let unknown = root.keys.first(where: { !keys.contains($0) }) {
            throw Problem(sentence: "there is no \(JSONWriter.quoted(unknown)) here: \(keys.sorted().joined(separator: ", ")) may be given")
        }
        self.root = root
    }

    func text(_ key: String) throws(Problem) -> String {
        guard let text = try optionalText(key) else { throw Problem(sentence: "the body must hold \(JSONWriter.quoted(key))") }
        return text
    }

    func optionalText(_ key: String) throws(Problem) -> String? {
        guard let node = root[key] else { return nil }
        guard let text = node.string else { throw Problem(sentence: "\(JSONWriter.quoted(key)) must be a string") }
        return text
    }

    func optionalInteger(_ key: String) throws(Problem) -> Int64? {
        guard let node = root[key] else { return nil }
        guard let number = node.integer else { throw Problem(sentence: "\(JSONWriter.quoted(key)) must be a whole number") }
        return number
    }
}
