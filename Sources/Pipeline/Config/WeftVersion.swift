/// The release this code is of.
package enum WeftVersion {
    package static let text = "0.1.0"
}
