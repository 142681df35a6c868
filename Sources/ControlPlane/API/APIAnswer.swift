internal import Host
internal import Pipeline

/// Answers of the HTTP interfaces: JSON, always.
extension ServiceResponse {
    static func error(_ status: UInt16, _ sentence: String, _ problems: [ConfigProblem] = []) -> ServiceResponse {
        var writer = JSONWriter()
        writer.object {
            $0.member("error", sentence)
            if !problems.isEmpty {
                $0.key("problems")
                $0.array { for problem in problems { problem.write(to: &$0) } }
            }
        }
        return ServiceResponse(status, json: writer.text)
    }

    static func error(_ status: UInt16, _ sentence: String, upgrade name: String) -> ServiceResponse {
        var response = error(status, sentence)
        response.headers.append(("upgrade", name))
        return response
    }

    static func notAllowed(_ request: ServiceRequest, allow methods: String) -> ServiceResponse {
        var response = error(405, "\(request.path) does not take \(request.method)")
        response.headers.append(("allow", methods))
        return response
    }

    static func json(_ body: (inout JSONWriter) -> Void) -> ServiceResponse {
        var writer = JSONWriter()
        writer.object(body)
        return ServiceResponse(json: writer.text)
    }
}

/// The query of a request: `a=1&b=two`, percent-decoded; the last of two equal names counts.
struct Query {
    private var values: [String: String] = [:]

    init(_ text: String) {
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            values[Self.decoded(parts[0])] = parts.count == 2 ? Self.decoded(parts[1]) : ""
        }
    }

    subscript(name: String) -> String? { values[name] }

    private static func decoded(_ text: Substring) -> String {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = ASCII.hexValue(bytes[index + 1]),
                let low = ASCII.hexValue(bytes[index + 2])
            {
                result.append(high << 4 | low)
                index += 3
            } else {
                result.append(bytes[index] == UInt8(ascii: "+") ? 0x20 : bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
