/// Why a key, a request or a certificate could not be used or made.
package enum IdentityError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The signing request is refused; the sentence is for its sender.
    case request(String)
    /// What lies in the state directory cannot be used; the sentence is for the operator.
    case state(String)
    /// OpenSSL failed at something that does not depend on input.
    case library(String)
    /// The authority's own certificate has ended, or is not valid yet.
    case authorityExpired(String)

    package var description: String {
        switch self {
        case .request(let reason): "signing request refused: \(reason)"
        case .state(let reason): reason
        case .library(let step): "OpenSSL failed: \(step)"
        case .authorityExpired(let reason): reason
        }
    }
}
