"""FCM HTTP v1, APNs and SMTP as a sender meets them: their protocols, their refusals, and a page of what arrived."""

from deploy.local.simulators.credentials import Credentials, Ports, prepare
from deploy.local.simulators.process import Simulators

__all__ = ["Credentials", "Ports", "Simulators", "prepare"]
