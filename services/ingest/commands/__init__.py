"""Commands of our own users: contacts and activities created in Pipedrive, and the campaign.

The way back to Pipedrive. Nothing is created twice, even if a process dies or an answer is lost.
"""
