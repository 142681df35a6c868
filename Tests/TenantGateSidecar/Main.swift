import TenantGateFilter
import Weft

/// What a user's own executable looks like; a test puts it beside sidecars that lack the filter.
@main
enum Main {
    static func main() { Weft.main(adding: [TenantGate.self]) }
}
