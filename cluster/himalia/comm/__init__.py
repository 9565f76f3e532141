"""How processes of a cluster speak to each other.

From the bytes up; each file knows only those before it:

=================  ==================================================================================
``framing``        where one frame ends and the next begins
``codec``          messages of one tick to one frame, and back
``session``        numbered, acknowledged, resumable: nothing lost, nothing twice, in order (pure)
``addresses``      ``unix://``, ``tcp://``, ``tls://``
``security``       credentials, certificates, TLS contexts, uid of a peer
``handshake``      who are you, prove it (pure, both sides)
``connection``     opens and accepts authenticated connections, whatever is spoken on them afterwards
``link``           one session with one peer over the connections it gets
``endpoint``       all sessions of a process; what the shells use
``data``           the data plane: results as raw bytes or mappings
=================  ==================================================================================

Nothing here decides about tasks, and nothing here unpickles.
"""
