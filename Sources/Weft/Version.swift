/// What this build calls itself; the changelog says what changed.
package enum Version {
    package static let text = "0.1.0"
}
