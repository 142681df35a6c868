internal import ControlPlane
internal import Glibc
internal import Host
internal import Pipeline

/// What lets an operator reach the control plane from another host: where it is, which root it shows, and a secret.
///
/// The secret leaves only over a connection whose other end has proved by that root to be the control plane.
struct OperatorCredential: Sendable {
    let path: String
    let name: String
    let server: String
    private let serverInFile: String
    let root: [UInt8]
    let secret: String
    let expires: String

    /// The one that `--credential` or the environment names; nil if none does.
    init?(_ invocation: Invocation) throws(CommandFailure) {
        guard let path = invocation.optional("credential") else {
            guard let server = invocation.optional("server") else { return nil }
            throw .usage("--server \(Printable.text(server)) takes a credential", hint: "weft operator create on the control plane's host makes one; say --credential FILE")
        }
        try self.init(path, server: invocation.optional("server"))
    }

    /// - Parameter server: in place of the one in the file.
    init(_ path: String, server: String?) throws(CommandFailure) {
        let bytes: [UInt8]
        do {
            bytes = try Files.readSecret(path)
        } catch {
            throw .usage("cannot read the credential: \(error)")
        }
        guard let file = ConfigReader.read(bytes: bytes, name: path).root, let root = Self.bytes(file.text("root")), root.count == 32,
            !file.text("secret").isEmpty
        else { throw .usage("\(Printable.text(path)) is no operator's credential", hint: "weft operator create makes one") }
        self.path = path
        self.root = root
        (name, secret, expires) = (file.text("name"), file.text("secret"), file.text("expires"))
        serverInFile = file.text("server")
        self.server = server ?? serverInFile
        guard !self.server.isEmpty else { throw .usage("the credential names no server", hint: "say --server https://HOST:PORT") }
    }

    /// The text of the file.
    static func text(name: String, server: String, root: String, secret: String, expires: String) -> String {
        var writer = JSONWriter(pretty: true)
        writer.object {
            $0.member("name", name)
            $0.member("server", server)
            $0.member("root", root)
            $0.member("secret", secret)
            $0.member("expires", expires)
        }
        return writer.text + "\n"
    }

    // MARK: Where

    /// Host names are looked up; whoever answers there has to show the root all the same.
    func address() throws(CommandFailure) -> SocketAddress {
        let prefix = "https://"
        guard server.hasPrefix(prefix), let colon = server.lastIndex(of: ":"), colon > server.index(server.startIndex, offsetBy: 5) else {
            throw .usage("\"\(Printable.text(server))\" is no server", hint: "write it like https://10.0.0.1:15011")
        }
        let authority = server.dropFirst(prefix.count).prefix { $0 != "/" }
        if let address = SocketAddress(String(authority)), address.family != .unix { return address }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = Self.lookUp(String(parts[0]), String(parts[1])) else {
            throw .unreachable("there is no host \"\(Printable.text(String(authority)))\"", hint: "write it like https://10.0.0.1:15011")
        }
        return address
    }

    private static func lookUp(_ host: String, _ port: String) -> SocketAddress? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, port, &hints, &found) == 0, let found else { return nil }
        defer { freeaddrinfo(found) }
        var name = [CChar](repeating: 0, count: Int(NI_MAXHOST)), service = [CChar](repeating: 0, count: Int(NI_MAXSERV))
        guard getnameinfo(found.pointee.ai_addr, found.pointee.ai_addrlen, &name, socklen_t(name.count), &service, socklen_t(service.count), NI_NUMERICHOST | NI_NUMERICSERV) == 0
        else { return nil }
        let text = { (characters: [CChar]) in String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self) }
        return UInt16(text(service)).flatMap { SocketAddress(host: text(name), port: $0) }
    }

    func target(at address: SocketAddress) throws -> ServiceTarget {
        let context = try TLSContext.client(identity: nil, trust: .pinnedRoot(sha256: root), trustDomain: "")
        return ServiceTarget(address, tls: (context, ExpectedPeer(controlPlaneAt: address)))
    }

    // MARK: Rotation

    /// The control plane says which root it will show for longest. When that is a new one the file names it from now on, so
    /// that a credential in use survives rotations; a file that cannot be written stays as it is.
    func follow(_ response: ServiceResponse) {
        guard let text = response.header(Plane.rootHeader), let newest = Self.bytes(text), newest.count == 32, newest != root else { return }
        let file = Self.text(name: name, server: serverInFile, root: text, secret: secret, expires: expires)
        try? Files.write(Array(file.utf8), to: path, mode: 0o600)
    }

    private static func bytes(_ text: String) -> [UInt8]? {
        let digits = text.utf8.map { ASCII.hexValue($0) }
        guard digits.count.isMultiple(of: 2), !digits.contains(nil) else { return nil }
        return stride(from: 0, to: digits.count, by: 2).map { (digits[$0] ?? 0) << 4 | (digits[$0 + 1] ?? 0) }
    }
}
