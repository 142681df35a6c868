internal import CPlatform
internal import Glibc

/// Environment variables. Read once at start in practice: nobody of us writes them.
package enum Environment {
    package static func value(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// The host's own name, up to its first dot; empty if it has none.
    package static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 && $0 != 0x2E }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// All of them, `NAME=value`, for processes we start.
    package static var all: [String] {
        var list: [String] = []
        guard var entry = weft_environment() else { return list }
        while let text = entry.pointee {
            list.append(String(cString: text))
            entry += 1
        }
        return list
    }
}

/// Where a control plane keeps its state unless told otherwise.
package enum StateDirectory {
    /// `$XDG_STATE_HOME/weft/control-plane`, by default `~/.local/state/weft/control-plane` (XDG base directories); relative
    /// values count as unset, as that specification asks.
    package static func controlPlane(environment: (String) -> String?) -> String {
        if let state = environment("XDG_STATE_HOME"), state.hasPrefix("/") { return state + "/weft/control-plane" }
        guard let home = environment("HOME"), home.hasPrefix("/") else { return "/var/lib/weft/control-plane" }
        return home + "/.local/state/weft/control-plane"
    }
}
