package import Host
package import Pipeline

/// The control plane as commands see it: its API over the unix socket, or over TCP with a credential; one call at a time.
package struct ControlPlaneAPI: Sendable {
    package let address: SocketAddress
    /// Over TCP.
    private var credential: OperatorCredential?
    /// For all of one call.
    package var timeout = Nanoseconds.seconds(30)

    package init(_ address: SocketAddress) { self.address = address }

    /// The one that `--control-plane`, the environment or the default state directory name.
    package init(_ invocation: Invocation) throws(CommandFailure) {
        if let credential = try OperatorCredential(invocation) {
            self.init(try credential.address())
            self.credential = credential
            return
        }
        try self.init(local: invocation)
    }

    /// The one on this host, whatever credential there is.
    package init(local invocation: Invocation) throws(CommandFailure) {
        let given = invocation.optionalAddress("control-plane")
        if let given, given.family != .unix {
            throw .usage("--control-plane names a unix socket, not \(given)", hint: "--control-plane unix:/path/api.sock, or --credential FILE for an API on another host")
        }
        let path = StateDirectory.controlPlane(environment: Environment.value) + "/api.sock"
        guard let address = given ?? SocketAddress(unix: path) else {
            throw .usage("\(path) is too long for a unix socket (at most 107 bytes)", hint: "say --control-plane unix:/path/api.sock")
        }
        self.init(address)
    }

    // MARK: Calls

    /// The body of a 200, as JSON.
    package func get(_ path: String, _ query: KeyValuePairs<String, String?> = [:]) throws(CommandFailure) -> ConfigNode {
        try call("GET", path, query).accepted()
    }

    package func post(_ path: String, _ query: KeyValuePairs<String, String?> = [:], _ body: String) throws(CommandFailure) -> Answer {
        try call("POST", path, query, body)
    }

    package func delete(_ path: String, _ query: KeyValuePairs<String, String?>) throws(CommandFailure) -> Answer {
        try call("DELETE", path, query)
    }

    /// What came back, whatever its status.
    package struct Answer: Sendable {
        package let status: UInt16
        package let body: ConfigNode
        package let text: String

        package var isOK: Bool { status == 200 }

        /// What the control plane says is wrong, with each problem shown where it stands in `sources`.
        package func failure(_ sources: [ConfigSource] = []) -> CommandFailure {
            let sentence = body["error"]?.string ?? "the control plane answered \(status): \(Printable.text(String(text.prefix(200))))"
            let problems = (body["problems"]?.elements ?? []).map { ReportedProblem.read($0, sources) }
            if status == 400 { return .usage(sentence) }
            return status == 422 && !problems.isEmpty ? .configuration(problems, summary: sentence) : .no(sentence)
        }

        package func accepted() throws(CommandFailure) -> ConfigNode {
            guard isOK else { throw failure() }
            return body
        }
    }

    private func call(
        _ method: String, _ path: String, _ query: KeyValuePairs<String, String?>, _ body: String? = nil
    ) throws(CommandFailure) -> Answer {
        var request = ServiceRequest(method, path, query: Self.encoded(query))
        if let body {
            request.body = Array(body.utf8)
            request.headers = [("content-type", "application/json")]
        }
        let response: ServiceResponse
        do {
            if let credential { request.headers.append(("authorization", "Bearer \(credential.secret)")) }
            response = try ServiceClient.fetch(request, from: try credential?.target(at: address) ?? ServiceTarget(address), timeout: timeout)
        } catch let error as ServiceFailure {
            throw describe(error)
        } catch {
            throw .system("\(error)")
        }
        credential?.follow(response)
        var limits = ConfigLimits()
        limits.bytesMax = ServiceLimits().bodyMax
        limits.nodesMax = 4_000_000
        let read = ConfigReader.read(bytes: response.body, name: "answer of \(method) \(path)", limits: limits)
        guard let root = read.root, !read.problems.hasErrors || response.status != 200 else {
            if response.status != 200 { return Answer(status: response.status, body: .empty, text: response.text) }
            throw .unreachable("what answers at \(address) is no control plane of weft: \(method) \(path) is not JSON")
        }
        return Answer(status: response.status, body: root, text: response.text)
    }

    private func describe(_ failure: ServiceFailure) -> CommandFailure {
        switch failure {
        case .transport(let why) where why.tls?.isWithoutPin == true:
            .no("what answers at \(address) does not show the root that the credential names: it is another mesh's, or the root was rotated and the credential not used since; weft operator create makes another")
        case .timeout: .timeout("the control plane at \(address) did not answer within \(Figures.age(timeout.seconds))")
        default:
            .unreachable(
                "no control plane answers at \(address): \(failure)",
                hint: "start one with weft control-plane, or say where it is with --control-plane or WEFT_CONTROL_PLANE")
        }
    }

    /// Pairs without a value are left out.
    package static func encoded(_ query: KeyValuePairs<String, String?>) -> String {
        query.compactMap { key, value in value.map { "\(key)=\(percentEncoded($0))" } }.joined(separator: "&")
    }

    /// RFC 3986 §2.3: everything but the unreserved characters.
    private static func percentEncoded(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                encoded += "%" + (digits.count < 2 ? "0" : "") + digits
            }
        }
        return encoded
    }
}

extension ConfigNode {
    /// A number of either kind.
    package var number: Double? {
        switch value {
        case .integer(let number): Double(number)
        case .decimal(let text): Double(text)
        default: nil
        }
    }

    /// A string member, empty if there is none.
    package func text(_ key: String) -> String { self[key]?.string ?? "" }

    /// The objects of a list member.
    package func items(_ key: String) -> [ConfigNode] { self[key]?.elements ?? [] }

    /// Indented, for `-o json`.
    package var prettyJSON: String {
        var writer = JSONWriter(pretty: true)
        writer.node(self)
        return writer.text
    }
}
