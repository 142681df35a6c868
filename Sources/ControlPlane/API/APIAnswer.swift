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

/// Times for people and machines, without a calendar library: RFC 3339 in UTC.
enum Timestamp {
    static func rfc3339(_ unixSeconds: Int64) -> String {
        let days = unixSeconds >= 0 ? unixSeconds / 86_400 : (unixSeconds - 86_399) / 86_400
        let second = unixSeconds - days * 86_400
        // Days to civil date, Hinnant 2013.
        let z = days + 719_468
        let era = (z >= 0 ? z : z - 146_096) / 146_097
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shifted + 2) / 5 + 1
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return "\(year)-\(two(month))-\(two(day))T\(two(second / 3600)):\(two(second / 60 % 60)):\(two(second % 60))Z"
    }

    private static func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
