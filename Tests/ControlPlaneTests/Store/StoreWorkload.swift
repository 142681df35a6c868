import ControlPlane
import ControlPlaneTesting
import Pipeline

/// Tables as a test expects them: what the store must give back, without its code.
typealias Model = [String: [String: [UInt8]]]

extension Store {
    var model: Model {
        var model: Model = [:]
        for table in ["a", "b", "c"] {
            for (key, entry) in entries(table) { model[table, default: [:]][key] = entry.value }
        }
        return model
    }
}

extension Model {
    mutating func apply(_ changes: [Change]) {
        for change in changes {
            self[change.table, default: [:]][change.key] = change.value
            if self[change.table]?.isEmpty == true { self[change.table] = nil }
        }
    }
}

extension [Change] {
    /// One to three changes over few keys, so that sets, overwrites and deletes meet.
    static func some(using random: inout Random) -> [Change] {
        (0..<Int.random(in: 1...3, using: &random)).map { _ in
            let table = ["a", "b", "c"].randomElement(using: &random)!
            let key = "k\(Int.random(in: 0..<6, using: &random))"
            if Int.random(in: 0..<4, using: &random) == 0 { return .delete(table, key) }
            let size = Int.random(in: 0...40, using: &random)
            return .set(table, key, (0..<size).map { _ in random.next(UInt8.self) })
        }
    }
}

extension Store.Limits {
    /// Folds often, so that crashes hit it.
    static var small: Store.Limits {
        var limits = Store.Limits()
        limits.logBytesBeforeSnapshot = 700
        return limits
    }
}
