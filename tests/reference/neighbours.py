"""Neighbour extension as OpenChatKit's `retrieval/wikipedia.py` has it, but for the ends of documents."""


def extended(centre, neighbours, threshold, cosines, documents):
    """The rows of a hit, in order: first those fetched on both sides, then the loops over them.

    Args:
        centre: Row of the hit.
        neighbours: `w`.
        threshold: `w_th`.
        cosines: Cosine of every row with the centre.
        documents: Document of every row.
    """
    before = [row for row in range(centre - neighbours, centre) if row >= 0]
    after = [row for row in range(centre + 1, centre + neighbours + 1) if row < len(documents)]
    rows = [centre]
    for row in reversed(before):
        if documents[row] != documents[centre] or not cosines[row] > threshold:
            break
        rows.insert(0, row)
    for row in after:
        if documents[row] != documents[centre] or not cosines[row] > threshold:
            break
        rows.append(row)
    return rows
