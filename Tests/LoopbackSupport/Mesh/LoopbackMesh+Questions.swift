internal import Host
internal import Pipeline

extension LoopbackMesh {
    /// The mesh's own authority, from the control plane's state directory: issues what the control plane never would.
    package func stolenAuthority() throws -> TestAuthority {
        let keys = Self.blocks("PRIVATE KEY", below: planeState)
        let certificates = sidecars.flatMap { Self.blocks("CERTIFICATE", below: $0.state) }
        for key in keys {
            for certificate in certificates {
                if let authority = try? TestAuthority(keyPEM: key, certificatePEM: certificate), authority.isWhole { return authority }
            }
        }
        throw Failure("no root key in \(planeState) fits a root in a sidecar's state (\(keys.count) keys, \(certificates.count) certificates)")
    }

    /// PEM blocks in any file, also as strings of JSON.
    private static func blocks(_ kind: String, below folder: String) -> [[UInt8]] {
        var found: [[UInt8]] = []
        let begin = "-----BEGIN \(kind)-----", end = "-----END \(kind)-----"
        for name in (try? Files.names(in: folder)) ?? [] {
            let path = folder + "/" + name
            if (try? Files.names(in: path)) != nil {
                found += blocks(kind, below: path)
            } else if let bytes = try? Files.read(path, limit: 1 << 20) {
                var text = Substring(String(decoding: bytes, as: UTF8.self).replacing("\\n", with: "\n"))
                while let start = text.firstRange(of: begin), let stop = text[start.upperBound...].firstRange(of: end) {
                    found.append(Array((text[start.lowerBound..<stop.upperBound] + "\n").utf8))
                    text = text[stop.upperBound...]
                }
            }
        }
        return found
    }

    /// Cumulative requests of a pair, by a member of the rows (`version`), or by status.
    package func totals(reporter: String, source: String, destination: String, key: String) throws -> [String: Int] {
        let answer = try get("/v1/stat", query: "window=60s&reporter=\(reporter)")
        var sums: [String: Int] = [:]
        for row in answer["totals"]?.elements ?? []
        where Self.name(row["source"]) == source && Self.name(row["destination"]) == destination && (row["reporter"]?.string ?? reporter) == reporter {
            if key == "status" {
                for member in row["statuses"]?.members ?? [] { sums[member.key, default: 0] += Int(member.value.integer ?? 0) }
            } else {
                sums[row[key]?.string ?? "", default: 0] += Int(row["requests"]?.integer ?? 0)
            }
        }
        return sums
    }

    /// `order`, whether the row says `order` or `order.default`.
    private static func name(_ node: ConfigNode?) -> String? {
        node?.string.map { $0.hasSuffix(".default") ? String($0.dropLast(8)) : $0 }
    }

    /// How many endpoints the control plane knows of a service.
    package func endpoints(of service: String) throws -> Int {
        let item = try get("/v1/services")["items"]?.elements?.first { $0["name"]?.string == service }
        return (item?["versions"]?.elements ?? []).reduce(0) { $0 + Int($1["endpoints"]?.integer ?? 0) }
    }
}
