/// Why a field block cannot be decoded (RFC 7541). All of them are COMPRESSION_ERROR and end the connection: what the dynamic
/// table would hold from here on is known to nobody (RFC 9113 §4.3).
package enum HPACKFault: UInt8, BitwiseCopyable, Error, Sendable, CaseIterable {
    /// An indexed field with index 0 (§6.1).
    case zeroIndex
    /// An index behind the last entry of the dynamic table (§2.3.3).
    case indexOutOfRange
    /// A number of more bytes than any that is meant (§5.1).
    case integerTooLarge
    /// The Huffman code for the end of string stands in a string (§5.2).
    case endOfStringInString
    /// Padding of a Huffman string that is 8 bits or longer, or not all ones (§5.2).
    case malformedPadding
    /// A table size update behind a field (§4.2).
    case lateSizeUpdate
    /// A table size over what the settings allow (§6.3).
    case sizeUpdateTooLarge
    /// The settings made the table smaller, the peer acknowledged, and its next block does not say so (§4.2).
    case missingSizeUpdate
    /// The block ends within a field.
    case truncated
}
