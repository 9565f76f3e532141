"""What the runtime tells about itself: records of calls, their groups, and the stream that views follow."""
