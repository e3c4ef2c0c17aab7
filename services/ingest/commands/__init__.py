"""Commands of our own users: contacts and activities created in Pipedrive, and the campaign.

The way back to Pipedrive. Nothing is created twice, whichever process dies or answer is lost.
"""
