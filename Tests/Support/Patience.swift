import Glibc
package import Pipeline

/// How much longer than elsewhere tests wait before they give up: `WEFT_PATIENCE=10` under a sanitizer.
///
/// For deadlines that only a failure meets. What a test measures does not stretch.
package enum Patience {
    package static let factor = max(1, getenv("WEFT_PATIENCE").flatMap { Int64(String(cString: $0)) } ?? 1)

    package static func seconds(_ seconds: Int64) -> Nanoseconds { .seconds(seconds * factor) }
}
