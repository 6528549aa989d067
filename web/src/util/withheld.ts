/** Why something of a node is not here: the answer was for somebody else than its operator. */
export const WITHHELD = "Shown to the node's operator"
