"""How processes of a cluster speak to each other.

From the bytes up; each file knows only those before it:

=================  ==================================================================================
``framing``        where one frame ends and the next begins
``codec``          messages of one tick to one frame, and back
``session``        numbered, acknowledged, resumable: nothing lost, nothing twice, in order (pure)
``buffers``        several buffers as one byte string: how a value rides inside a message
``addresses``      ``unix://``, ``tcp://``, ``tls://``
``security``       credentials, keys by role, certificates
``tls``            TLS contexts
``introduction``   the five messages of a handshake as bytes
``strangers``      what something that isn't himalia is
``handshake``      who are you, prove it (pure, both sides)
``sockets``        options, binding, uid of a peer
``crowd``          which of the strangers at a door has to go (pure)
``listening``      a door: a socket that lets authenticated peers in
``connection``     opens and accepts authenticated connections, whatever is spoken on them afterwards
``wires``          where an endpoint's connections come from
``clock``          time as the sessions see it
``link``           one session with one peer over the connections it gets
``contact``        how a session stands, in words
``unsendable``     what becomes of a message that can't be encoded
``endpoint``       all sessions of a process; what the shells use
``data``           the data plane: results as raw bytes or mappings
=================  ==================================================================================

Nothing here decides about tasks, and nothing here unpickles.
"""
