"""The embedded stack: real private servers and every part of Gatehouse in one folder, no Docker needed."""
